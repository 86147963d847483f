"""The writing side without its thread: one open segment at a time, and recovery at the start.

A segment's life: `NAME.open` is created; records are written behind its header and made durable in groups,
with the first one the header and the name; then its seal; then it becomes `NAME.seg`. Nothing is waited for
between a record's coming and its being the kernel's, which outlives the process. So whatever `NAME.open` holds
after a crash is a header, whole records and at most one torn tail; or nothing that was promised.
"""

from __future__ import annotations

import errno
import os
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spool import disk
from spool import format as wire
from spool.errors import SpoolError
from spool.segment import OPEN, SEALED, created_ns, segment_names

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# Errors that pass when somebody makes room; the file is as it was before the write.
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# Pause in seconds before a seal that found no room is tried again.
_SEAL_RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Recovered:
    """What recovery did with one segment that a dead process had left open."""

    name: str
    records: int
    torn_bytes: int
    damaged: bool


@dataclass(slots=True)
class _Open:
    path: Path
    fd: int
    seed: int
    size: int
    count: int
    seal_at: float
    named: bool = False
    """Whether its name is durable."""


class SegmentWriter:
    """Writes records into segments. Not safe for threads. Every SpoolError it raises is final."""

    def __init__(self, directory: Path, *, segment_bytes: int, segment_seconds: float) -> None:
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._segment_seconds = segment_seconds
        self._open: _Open | None = None
        self._last_ns = 0

    def recover(self) -> tuple[Recovered, ...]:
        """Seal what a dead process left open; tells what was found. Raises SpoolError."""
        try:
            names = segment_names(self._directory)
            self._last_ns = created_ns(names[-1]) if names else 0
            return tuple(self._recover(self._directory / name) for name in names if name.endswith(OPEN))
        except OSError as error:
            raise _failed(self._directory, "cannot be recovered", error) from error

    def write(self, records: Sequence[wire.Record], now: float) -> int:
        """Hand the records to the kernel; how many it took, in order: all unless there is no room.

        Sealed segments are durable when this returns, the open one after `sync`. `now` is monotonic
        seconds. Raises SpoolError.
        """
        done = 0
        try:
            while done < len(records):
                segment = self._open or self._create(now)
                taken = self._write_some(segment, records[done:]) if segment else 0
                if not taken:
                    break
                done += taken
                if self._open and self._open.size >= self._segment_bytes:
                    self._seal(now)
        except OSError as error:
            raise _failed(self._directory, "cannot be written", error) from error
        return done

    def sync(self) -> None:
        """Everything written is durable. Raises SpoolError."""
        if self._open:
            try:
                disk.sync_file(self._open.fd)
                if not self._open.named:
                    disk.sync_directory(self._directory)
                    self._open.named = True
            except OSError as error:
                raise _failed(self._open.path, "fdatasync failed", error) from error

    def seal_at(self) -> float | None:
        """When the open segment is old enough to be sealed, monotonic seconds; None without one."""
        return self._open.seal_at if self._open else None

    def seal(self, now: float) -> None:
        """Finish the open segment, if there is one; without room for it, it stays open. Raises SpoolError."""
        try:
            self._seal(now)
        except OSError as error:
            raise _failed(self._directory, "a segment cannot be sealed", error) from error

    def _create(self, now: float) -> _Open | None:
        self._last_ns = max(time.time_ns(), self._last_ns + 1)
        salt = secrets.randbits(64)
        path = self._directory / f"{self._last_ns:020d}-{salt:016x}{OPEN}"
        header = wire.header(self._last_ns, salt)
        fd = None
        try:
            fd = disk.create(path)
            disk.write_all(fd, [header])
        except OSError as error:
            if fd is not None:
                os.close(fd)
                path.unlink()
            if error.errno in _NO_ROOM:
                return None
            raise
        seed = int.from_bytes(header[-4:], "little")
        self._open = _Open(path, fd, seed, len(header), 0, now + self._segment_seconds)
        return self._open

    def _write_some(self, segment: _Open, records: Sequence[wire.Record]) -> int:
        """As many records as make the segment full; 0 when there is no room."""
        buffers: list[bytes | memoryview] = []
        size, taken = segment.size, 0
        for record in records:
            head = wire.frame(segment.seed, segment.count + taken, record.origin, record.payload)
            buffers += (head, record.origin, record.payload)
            size += len(head) + len(record.origin) + len(record.payload)
            taken += 1
            if size >= self._segment_bytes:
                break
        if not _append(segment, buffers):
            return 0
        segment.size = size
        segment.count += taken
        return taken

    def _seal(self, now: float) -> None:
        segment = self._open
        if not segment:
            return
        if not _append(segment, [wire.seal(segment.seed, segment.count, segment.size)]):
            segment.seal_at = now + _SEAL_RETRY_SECONDS
            return
        self._open = None
        try:
            disk.sync_file(segment.fd)
        finally:
            os.close(segment.fd)
        self._rename(segment.path)

    def _rename(self, path: Path) -> None:
        path.rename(path.with_suffix(SEALED))
        disk.sync_directory(self._directory)

    def _recover(self, path: Path) -> Recovered:
        data = path.read_bytes()
        seed = wire.seed_of(data)
        if seed is None and len(data) > wire.HEADER_BYTES:
            # A reader reports it. It may be no damage but a loss of power before the first group was durable;
            # nobody can tell, and bytes that may be promised stay.
            self._rename(path)
            return Recovered(path.stem, 0, 0, damaged=True)
        end, count, damaged, sealed = _survey(data)
        torn = max(0, len(data) - end)
        if seed is None or not count:
            path.unlink()
            disk.sync_directory(self._directory)
            return Recovered(path.stem, 0, torn, damaged=False)
        if not sealed or torn:
            _repair(path, end, [] if sealed else [wire.seal(seed, count, end)])
        self._rename(path)
        return Recovered(path.stem, count, torn, damaged=damaged)


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


def _append(segment: _Open, buffers: Sequence[bytes | memoryview]) -> bool:
    """Whether there was room. Without it the file is as before."""
    try:
        disk.write_all(segment.fd, buffers)
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        os.ftruncate(segment.fd, segment.size)
        return False
    return True


def _failed(path: Path, what: str, error: OSError) -> SpoolError:
    return SpoolError(
        f"spool {path}: {what}: {error.strerror or error}; check the disk, then start the service again"
    )
