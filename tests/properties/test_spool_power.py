"""What survives the loss of power when files are written over: of what was not synced anything, in any mixture."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from spool import Record, Segment, disk, sealed_segments
from spool.writer import SegmentWriter

if TYPE_CHECKING:
    from collections.abc import Sequence

# Small, so that a record has several.
PAGE = 64
SEGMENT = 1_000

Names = dict[str, int]


class Drive:
    """A directory, and what of it is on the disk for certain. It takes the place of spool.disk's syncs.

    Files are known by their inode, and held open so that none comes twice. Of the names, those of any moment since
    the last sync of the directory may be what is left; of a file, any of the pages written since its last one.
    """

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.directory = directory
        self._fds: dict[int, int] = {}
        self._safe: dict[int, bytes] = {}
        self._moments: list[Names] = []
        self._real_write = disk.write_all
        directory.mkdir()
        stack.callback(self._close)
        stack.enter_context(patch.object(disk, "sync_file", self._sync_file))
        stack.enter_context(patch.object(disk, "sync_directory", self._sync_directory))
        stack.enter_context(patch.object(disk, "write_all", self._write_all))
        self.moment()

    def moment(self) -> None:
        """The names as they are now may be what is left."""
        names = {}
        for file in self.directory.iterdir():
            inode = file.stat().st_ino
            if inode not in self._fds:
                self._fds[inode] = os.open(file, os.O_RDONLY)
            names[file.name] = inode
        self._moments.append(names)

    def lose_power(self, into: Path, chance: Random) -> set[str]:
        """Make `into` what is found afterwards, and go on there: all of that is on the disk for certain.

        The stems of all names that might have been left.
        """
        self.moment()
        perhaps = {Path(name).stem for names in self._moments for name in names}
        made: dict[int, Path] = {}
        into.mkdir()
        for name, inode in chance.choice(self._moments).items():
            if inode in made:
                os.link(made[inode], into / name)
            else:
                made[inode] = into / name
                made[inode].write_bytes(self._left(inode, chance))
        self._close()
        self.directory, self._moments = into, []
        self.moment()
        self._safe = {inode: self._content(inode) for inode in self._fds}
        return perhaps

    def _left(self, inode: int, chance: Random) -> bytes:
        old, new = self._safe.get(inode, b""), self._content(inode)
        size = chance.choice([len(old), len(new), chance.randint(*sorted((len(old), len(new))))])
        content = bytearray(size)
        for start in range(0, size, PAGE):
            page = slice(start, min(size, start + PAGE))
            kept = (new if chance.random() < 0.5 else old)[page]
            content[start : start + len(kept)] = kept
        return bytes(content)

    def _content(self, inode: int) -> bytes:
        fd = self._fds[inode]
        return os.pread(fd, os.fstat(fd).st_size, 0)

    def _write_all(self, fd: int, buffers: Sequence[bytes | memoryview]) -> None:
        self.moment()
        self._real_write(fd, buffers)
        self.moment()

    def _sync_file(self, fd: int) -> None:
        self.moment()
        inode = os.fstat(fd).st_ino
        self._safe[inode] = self._content(inode)

    def _sync_directory(self, path: Path) -> None:
        assert path == self.directory
        self.moment()
        del self._moments[:-1]

    def _close(self) -> None:
        for fd in self._fds.values():
            os.close(fd)
        self._fds.clear()


class Life:
    """A spool, and which records were written, promised, and deleted. A record is known by its number."""

    def __init__(self, drive: Drive, reuse_bytes: int) -> None:
        self._drive = drive
        self._reuse_bytes = reuse_bytes
        self._payloads: list[bytes] = []
        self._promised: set[int] = set()
        self._deleted: dict[str, list[int]] = {}
        self._torn: set[str] = set()
        self._begin()

    def write(self, sizes: Sequence[int]) -> None:
        first = len(self._payloads)
        self._payloads += [f"{first + i}:".encode().ljust(size, b".") for i, size in enumerate(sizes)]
        self._writer.write([Record(b"", payload) for payload in self._payloads[first:]], 0)
        self._promised |= {number for segment in self._sealed() for number in self._numbers(segment)}

    def sync(self) -> None:
        self._writer.sync()
        self._promised |= {*range(self._first, len(self._payloads))}

    def seal(self) -> None:
        self._writer.seal(0)
        self.sync()

    def pass_through(self, sizes: Sequence[int]) -> None:
        """A segment comes and goes, and leaves its file to be written over."""
        self.write(sizes)
        self.seal()
        self.delete(1)

    def delete(self, count: int) -> None:
        """As a reader of the oldest segments that is cut off before it syncs the directory."""
        for segment in self._sealed()[:count]:
            self._deleted[segment.name] = self._numbers(segment)
            segment.path.unlink()
            self._drive.moment()

    def lose_power(self, into: Path, chance: Random) -> None:
        """The law: what was promised and not deleted is read, and what is read was written; each once, in order."""
        perhaps = self._drive.lose_power(into, chance)
        self._writer.close()
        deleted = {number for numbers in self._deleted.values() for number in numbers}
        gone = {
            number for name, numbers in self._deleted.items() if name not in perhaps for number in numbers
        }
        sealed = {segment.name for segment in self._sealed()}
        self._begin()
        self._torn |= {segment.name for segment in self._sealed()} - sealed
        read = [number for segment in self._sealed() for number in self._numbers(segment)]

        assert read == sorted({*read})
        assert {*read} >= self._promised - deleted
        assert not {*read} & gone
        self._promised, self._deleted = {*read}, {}

    def close(self) -> None:
        self._writer.close()

    def _begin(self) -> None:
        directory = self._drive.directory
        self._writer = SegmentWriter(
            directory, segment_bytes=SEGMENT, segment_seconds=60, reuse_bytes=self._reuse_bytes
        )
        self._writer.recover()
        self._first = len(self._payloads)

    def _sealed(self) -> list[Segment]:
        return sealed_segments(self._drive.directory)

    def _numbers(self, segment: Segment) -> list[int]:
        """Also of a segment that was deleted and is back: whole, unless power was lost while it was open."""
        items = list(segment.salvage())
        records = [item for item in items if isinstance(item, Record)]
        numbers = [int(bytes(record.payload).partition(b":")[0]) for record in records]

        assert len(records) == len(items) or segment.name in self._torn
        assert [self._payloads[number] for number in numbers] == [record.payload for record in records]
        return numbers


STEPS = ["pass_through", "write", "write", "write", "sync", "seal", "delete"]


@given(st.integers(0, 2**64), st.sampled_from([0, 5 * SEGMENT, 5 * SEGMENT]))
@settings(max_examples=200, deadline=None)
def test_what_was_promised_is_read_once_and_nothing_stale_after_any_loss_of_power(
    seed: int, reuse_bytes: int
) -> None:
    # By its own dice: what is hard to come by is a long history, and hypothesis prefers short ones.
    chance = Random(seed)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        life = Life(Drive(Path(name, "0"), stack), reuse_bytes)
        stack.callback(life.close)
        for count in range(1, 5):
            # Two that pass through leave something to write over.
            for what in ["pass_through"] * 2 + chance.choices(STEPS, k=chance.randrange(6)):
                if what in {"pass_through", "write"}:
                    getattr(life, what)([chance.randrange(10, 400) for _ in range(chance.randrange(1, 5))])
                elif what == "delete":
                    life.delete(chance.randrange(1, 4))
                else:
                    getattr(life, what)()
            life.lose_power(Path(name, str(count)), chance)
