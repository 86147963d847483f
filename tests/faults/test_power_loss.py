"""Loss of power, simulated: only what was synced is on the disk afterwards, names included.

`Disk` takes the place of spool.disk's system calls, and knows of every file how much of it is durable.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from spool import Appender, SpoolFull, disk, sealed_segments

pytestmark = pytest.mark.faults


class Disk:
    """What has reached the disk: sizes of files by inode, and names by directory."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, syncs: bool = True) -> None:
        self._sizes: dict[int, int] = {}
        self._names: dict[Path, dict[str, int]] = {}
        self._real_file, self._real_directory = disk.sync_file, disk.sync_directory
        self._syncs = syncs
        monkeypatch.setattr(disk, "sync_file", self._file)
        monkeypatch.setattr(disk, "sync_directory", self._directory)

    def _file(self, fd: int) -> None:
        if self._syncs:
            self._sizes[os.fstat(fd).st_ino] = os.fstat(fd).st_size

    def _directory(self, path: Path) -> None:
        if self._syncs:
            self._names[path] = {each.name: each.stat().st_ino for each in path.iterdir()}

    def lose_power(self, directory: Path, into: Path, chance: random.Random) -> None:
        """Make `into` what a reboot may find of the directory: of what was not synced any part, or nothing."""
        into.mkdir()
        durable = self._names.get(directory, {})
        inodes = {each.stat().st_ino: each for each in directory.iterdir()}
        for name, inode in durable.items():
            if inode in inodes and name != "lock":
                data, safe = inodes[inode].read_bytes(), self._sizes.get(inode, 0)
                kept = safe + chance.randrange(max(0, len(data) - safe) + 1)
                torn = bytes(chance.randrange(256) for _ in range(min(16, max(0, kept - safe))))
                # Pages that were not synced come in any order: the end may be there and what is before it not.
                (into / name).write_bytes(data[: max(safe, kept - len(torn))] + torn)


@pytest.fixture
def chance() -> random.Random:
    return random.Random(random.randrange(2**32))


def run(directory: Path, chance: random.Random) -> Iterator[int]:
    """Append numbers, and give each that is durable, until stopped."""
    appender = Appender(directory, segment_bytes=2_000, segment_seconds=60, max_bytes=2**30, reserve_bytes=0)
    try:
        for number in range(10_000):
            hanging = appender.append(b"origin", str(number).encode() * chance.randrange(1, 30))
            if chance.random() < 0.5:
                hanging.result()
                yield number
    except SpoolFull:
        return


def lost(directory: Path, home: Path, chance: random.Random, drives: Disk, count: int) -> set[int]:
    """Of the numbers that were durable when the power went, those that are not there afterwards."""
    accepted = set()
    for number, durable in zip(range(count), run(directory, chance), strict=False):
        accepted.add(durable)
        del number
    after = home / "after"
    drives.lose_power(directory, after, chance)
    Appender(after, segment_bytes=1, segment_seconds=1, max_bytes=2**30, reserve_bytes=0).close()
    found = {
        int(text[: len(text) // times])
        for segment in sealed_segments(after)
        for record in segment.records()
        for text in [record.payload]
        for times in range(len(text), 0, -1)
        if len(text) % times == 0 and text == text[: len(text) // times] * times
    }
    return accepted - found


def test_what_was_accepted_survives_the_loss_of_power(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chance: random.Random, cycles: int
) -> None:
    for cycle in range(cycles):
        home = tmp_path / str(cycle)
        home.mkdir()
        drives = Disk(monkeypatch)

        assert set() == lost(home / "spool", home, chance, drives, chance.randrange(1, 60))
        monkeypatch.undo()


def test_the_checker_notices_when_fdatasync_is_switched_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chance: random.Random
) -> None:
    drives = Disk(monkeypatch, syncs=False)

    assert set() != lost(tmp_path / "spool", tmp_path, chance, drives, 40)
