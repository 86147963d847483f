"""The writing side without its thread: one open segment at a time.

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
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spool import disk, recovery
from spool import format as wire
from spool.carriers import Carriers
from spool.errors import SpoolError
from spool.segment import OPEN, SEALED, created_ns, segment_names

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from spool.carriers import Carrier
    from spool.recovery import Recovered

# Errors that pass when somebody makes room; the file is as it was before the write.
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# Pause in seconds before a seal that found no room is tried again.
_SEAL_RETRY_SECONDS = 1.0
# Its own and the segment's.
_CARRIED_NAMES = 2
# So long after the last record nothing is kept to be written over.
_RELEASE_SECONDS = 10.0


@dataclass(slots=True)
class _Open:
    path: Path
    fd: int
    seed: int
    size: int
    count: int
    seal_at: float
    carrier: Carrier | None = None
    named: bool = False
    """Whether its name is durable."""


class SegmentWriter:
    """Writes records into segments. Not safe for threads. Every SpoolError it raises is final."""

    def __init__(
        self, directory: Path, *, segment_bytes: int, segment_seconds: float, reuse_bytes: int = 0
    ) -> None:
        """`reuse_bytes`: how much of what its reader has deleted is written over in place of new files."""
        self._directory = directory
        self._carriers = Carriers(directory, reuse_bytes, segment_bytes)
        self._release_at: float | None = None
        self._segment_bytes = segment_bytes
        self._segment_seconds = segment_seconds
        self._open: _Open | None = None
        self._last_ns = 0

    def recover(self) -> tuple[Recovered, ...]:
        """Seal what a dead process left open; tells what was found. Raises SpoolError."""
        try:
            names = segment_names(self._directory)
            self._last_ns = created_ns(names[-1]) if names else 0
            found = tuple(recovery.recover(self._directory / name) for name in names if name.endswith(OPEN))
            self._carriers.clear()
        except OSError as error:
            raise _failed(self._directory, "cannot be recovered", error) from error
        return found

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

    def release_at(self) -> float | None:
        """When files that wait to be written over are no longer worth their place, monotonic seconds."""
        return None if self._open else self._release_at

    def release(self, now: float) -> None:
        """Remove what waits to be written over; segments are then deleted for good at once. Raises SpoolError."""
        try:
            done = self._carriers.release(but=self._open.carrier if self._open else None)
        except OSError as error:
            raise _failed(self._directory, "what was deleted cannot be removed", error) from error
        self._release_at = None if done else now + _RELEASE_SECONDS

    def close(self) -> None:
        """Let go of the files as they are."""
        if self._open and not self._open.carrier:
            with suppress(OSError):
                os.close(self._open.fd)
        self._open = None
        self._carriers.close()

    def _create(self, now: float) -> _Open | None:
        self._last_ns = max(time.time_ns(), self._last_ns + 1)
        salt = secrets.randbits(64)
        path = self._directory / f"{self._last_ns:020d}-{salt:016x}{OPEN}"
        header = wire.header(self._last_ns, salt)
        try:
            carrier = self._carry(path, header)
            fd = carrier.fd if carrier else _created(path, header)
        except OSError as error:
            if error.errno in _NO_ROOM:
                return None
            raise
        seed = int.from_bytes(header[-4:], "little")
        self._open = _Open(path, fd, seed, len(header), 0, now + self._segment_seconds, carrier)
        return self._open

    def _carry(self, path: Path, header: bytes) -> Carrier | None:
        """A file of the carriers under this name too; None when there is none to be had."""
        try:
            carrier = self._carriers.take()
            if carrier is None:
                return None
            # The header first: a file under a segment's name begins with this segment's header, unless power was lost
            # before anything of it was promised.
            os.lseek(carrier.fd, 0, os.SEEK_SET)
            disk.write_all(carrier.fd, [header])
            os.link(carrier.path, path)
            if carrier.names == _CARRIED_NAMES:
                return carrier
            # A file system that does not count names would give away segments that still wait.
            path.unlink()
        except OSError as error:
            if error.errno in _NO_ROOM or disk.broken(error):
                raise
        # It knows no second names, or somebody meddles: new files always go.
        self._carriers.stop()
        return None

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
        self._release_at = now + _RELEASE_SECONDS
        try:
            if segment.carrier:
                # What is left of a longer segment goes.
                os.ftruncate(segment.fd, segment.size + wire.SEAL_BYTES)
            disk.sync_file(segment.fd)
        finally:
            if not segment.carrier:
                os.close(segment.fd)
        self._finish(segment.path)

    def _finish(self, path: Path) -> None:
        path.rename(path.with_suffix(SEALED))
        # This sync makes durable what was deleted before it, too.
        deleted = self._carriers.deleted()
        disk.sync_directory(self._directory)
        self._carriers.reuse(deleted)


def _created(path: Path, header: bytes) -> int:
    fd = disk.create(path)
    try:
        disk.write_all(fd, [header])
    except OSError:
        os.close(fd)
        path.unlink()
        raise
    return fd


def _append(segment: _Open, buffers: Sequence[bytes | memoryview]) -> bool:
    """Whether there was room. Without it the file is as before."""
    try:
        disk.write_all(segment.fd, buffers)
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        os.ftruncate(segment.fd, segment.size)
        os.lseek(segment.fd, segment.size, os.SEEK_SET)
        return False
    return True


def _failed(path: Path, what: str, error: OSError) -> SpoolError:
    return SpoolError(
        f"spool {path}: {what}: {error.strerror or error}; check the disk, then start the service again"
    )
