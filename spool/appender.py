"""The writing side: any thread appends, one thread makes durable, many records share one fdatasync."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING

from spool import disk, lock
from spool.errors import SpoolError, SpoolFull
from spool.format import FRAME_BYTES, MAX_PART_BYTES, Record
from spool.room import Room
from spool.segment import usage
from spool.writer import SegmentWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from spool.recovery import Recovered

# Least time in seconds between two looks at directory and disk; a slow look makes it longer.
_LOOK_SECONDS = 0.25
_LOOK_SHARE = 10


class Appender:
    """Owns a directory's writing side until `close`. Safe for threads.

    `segment_seconds` count from a segment's first record. `reuse_bytes`: how much of what its reader has
    deleted may stay on the disk beyond `max_bytes`, to be written over: cheaper than new files where much
    is written; never more than `max_bytes`. Raises SpoolError when another process appends to the
    directory, or when it cannot be used. `on_failure` is called once, on the appender's thread, when it
    fails for good: nothing that is not durable by then ever will be.
    """

    def __init__(
        self,
        directory: Path,
        *,
        segment_bytes: int,
        segment_seconds: float,
        max_bytes: int,
        reserve_bytes: int,
        reuse_bytes: int = 0,
        on_failure: Callable[[SpoolError], None] | None = None,
    ) -> None:
        self._directory = directory
        self._on_failure = on_failure
        self._failure: SpoolError | None = None
        self._queue: deque[tuple[Record, Future[None]]] = deque()
        self._queued_bytes = 0
        self._wake = threading.Condition()
        self._closing = False
        self._room = Room(max_bytes, reserve_bytes)
        self._writer = SegmentWriter(
            directory,
            segment_bytes=segment_bytes,
            segment_seconds=segment_seconds,
            reuse_bytes=min(reuse_bytes, max_bytes),
        )
        self._lock = _own(directory)
        try:
            self._recovered = self._writer.recover()
            self._look(whole=True)
        except BaseException:
            os.close(self._lock)
            raise
        self._thread = threading.Thread(target=self._run, name=f"spool {directory.name}", daemon=True)
        self._thread.start()

    @property
    def full(self) -> bool:
        """Whether `append` would raise SpoolFull now."""
        return self._room.full

    @property
    def failure(self) -> SpoolError | None:
        """Why this appender takes nothing any more, for good; None while it works."""
        return self._failure

    @property
    def recovered(self) -> tuple[Recovered, ...]:
        """What a dead process had left open, and what became of it."""
        return self._recovered

    def append(self, origin: bytes, payload: bytes | memoryview) -> Future[None]:
        """Take a record. The future resolves once it is durable, or fails with SpoolFull or SpoolError.

        Raises SpoolFull when there is no room, SpoolError when the appender has failed or is closed.
        """
        if max(len(origin), len(payload)) > MAX_PART_BYTES:
            raise SpoolError(f"spool {self._directory}: a record of {len(payload)} bytes; 4 GiB is the limit")
        future: Future[None] = Future()
        # Nobody can cancel what may be on the disk already.
        future.set_running_or_notify_cancel()
        size = FRAME_BYTES + len(origin) + len(payload)
        with self._wake:
            if self._failure:
                raise SpoolError(str(self._failure))
            if self._closing:
                raise SpoolError(f"spool {self._directory}: is closed")
            if self._room.full:
                raise _no_room(self._directory)
            self._room.add(size)
            self._queued_bytes += size
            self._queue.append((Record(origin, payload), future))
            self._wake.notify()
        return future

    def close(self) -> None:
        """Make durable what was appended, seal, and let the directory go. Idempotent."""
        with self._wake:
            if self._closing:
                return
            self._closing = True
            self._wake.notify()
        self._thread.join()
        os.close(self._lock)

    def _run(self) -> None:
        group: list[tuple[Record, Future[None]]] = []
        try:
            while self._wait(group):
                self._commit(group)
                group.clear()
                self._tend()
            self._writer.seal(time.monotonic())
            self._writer.release(time.monotonic())
        except SpoolError as error:
            self._fail(error, group)
        except Exception as error:  # noqa: BLE001  # whatever it is, nothing may be promised after it
            self._fail(SpoolError(f"spool {self._directory}: {error!r}; this is a defect"), group)
        finally:
            self._writer.close()

    def _wait(self, group: list[tuple[Record, Future[None]]]) -> bool:
        """Fill `group` with all that is queued, once there is something to do; False at the end."""
        with self._wake:
            if not self._queue and not self._closing:
                self._wake.wait(self._pause())
            group[:] = self._queue
            self._queue.clear()
            self._queued_bytes = 0
            return bool(group) or not self._closing

    def _pause(self) -> float | None:
        """Seconds until the next thing to do by itself."""
        times = [
            self._writer.seal_at(),
            self._writer.release_at(),
            self._look_at if self._room.full else None,
        ]
        due = [at for at in times if at is not None]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _commit(self, group: Sequence[tuple[Record, Future[None]]]) -> None:
        if not group:
            return
        taken = self._writer.write([record for record, _ in group], time.monotonic())
        self._writer.sync()
        for _, future in group[:taken]:
            future.set_result(None)
        if taken < len(group):
            with self._wake:
                self._room.refuse()
            for _, future in group[taken:]:
                future.set_exception(_no_room(self._directory))

    def _tend(self) -> None:
        """Seal what is old enough; see how much room there is."""
        now = time.monotonic()
        seal_at = self._writer.seal_at()
        if seal_at is not None and now >= seal_at:
            self._writer.seal(now)
        release_at = self._writer.release_at()
        if self._room.full or (release_at is not None and now >= release_at):
            self._writer.release(now)
        if now >= self._look_at:
            self._look(whole=self._room.crowded)

    def _look(self, *, whole: bool) -> None:
        """Measure the disk, and the directory too if `whole`; a look that fails changes nothing."""
        start = time.monotonic()
        with suppress(SpoolError, OSError):
            free = disk.free_bytes(self._directory)
            count = usage(self._directory).bytes if whole else None
            with self._wake:
                self._room.measured(self._room.bytes if count is None else count + self._queued_bytes, free)
        end = time.monotonic()
        self._look_at = end + max(_LOOK_SECONDS, _LOOK_SHARE * (end - start))

    def _fail(self, error: SpoolError, group: Sequence[tuple[Record, Future[None]]]) -> None:
        with self._wake:
            self._failure = error
            left = [future for _, future in (*group, *self._queue) if not future.done()]
            self._queue.clear()
        for future in left:
            future.set_exception(error)
        if self._on_failure:
            self._on_failure(error)


def _own(directory: Path) -> int:
    try:
        disk.make_directory(directory)
        return lock.acquire(directory)
    except OSError as error:
        raise SpoolError(
            f"spool {directory}: cannot be used: {error.strerror or error}; "
            "make it a directory that this user may write, or choose another"
        ) from error


def _no_room(directory: Path) -> SpoolFull:
    return SpoolFull(
        f"spool {directory}: no room; it takes records again when stored segments are deleted "
        "or the disk has more space"
    )
