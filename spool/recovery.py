"""What becomes of a segment that a dead process has left open."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spool import disk
from spool import format as wire
from spool.segment import SEALED

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Recovered:
    """What recovery did with one segment that a dead process had left open."""

    name: str
    records: int
    torn_bytes: int
    damaged: bool


def recover(path: Path) -> Recovered:
    """Seal the open segment `path`, or remove it if it holds nothing. Raises OSError."""
    data = path.read_bytes()
    # A file with a second name was written over: behind its end stands what it held before.
    carried = path.stat().st_nlink > 1
    seed, holds = wire.seed_of(data), wire.holder(data)
    if carried and holds not in {None, path.stem}:
        # Still another segment's: power was lost before anything of this was durable.
        return _removed(path, 0)
    if holds != path.stem and len(data) > wire.HEADER_BYTES:
        # A reader reports it. It may be no damage but a loss of power before the first group was durable;
        # nobody can tell, and bytes that may be promised stay.
        _finish(path)
        return Recovered(path.stem, 0, 0, damaged=True)
    end, count, damaged, sealed = _survey(data)
    torn = wire.torn_bytes(data, seed, end) if carried and seed is not None else max(0, len(data) - end)
    if seed is None or not count:
        return _removed(path, torn)
    if not sealed or end < len(data):
        _repair(path, end, [] if sealed else [wire.seal(seed, count, end)])
    _finish(path)
    return Recovered(path.stem, count, torn, damaged=damaged)


def _removed(path: Path, torn: int) -> Recovered:
    path.unlink()
    disk.sync_directory(path.parent)
    return Recovered(path.stem, 0, torn, damaged=False)


def _finish(path: Path) -> None:
    path.rename(path.with_suffix(SEALED))
    disk.sync_directory(path.parent)


def _survey(data: bytes) -> tuple[int, int, bool, bool]:
    """Where the last sound frame ends, the count of records up to it, damage before it, and a seal."""
    end, count = wire.HEADER_BYTES, 0
    damaged = sealed = pending = False
    for item in wire.scan(data):
        if isinstance(item, wire.Damage):
            pending = True
            continue
        damaged, pending = damaged or pending, False
        end = item.end
        count, sealed = (item.index + 1, False) if isinstance(item, wire.Found) else (item.count, True)
    return end, count, damaged, sealed


def _repair(path: Path, end: int, tail: Sequence[bytes]) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    try:
        os.ftruncate(fd, end)
        disk.write_all(fd, tail)
        disk.sync_file(fd)
    finally:
        os.close(fd)
