"""A spool that is written, sealed and deleted by hand, to see what becomes of its files."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from spool import Record, Segment, sealed_segments
from spool.writer import SegmentWriter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WAIT = 10
STALE = b"of a segment that was deleted"


class Spool:
    """A writer whose segments are sealed and deleted by hand."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.writer = SegmentWriter(
            directory, segment_bytes=1_000_000, segment_seconds=60, reuse_bytes=3_000_000
        )
        self.writer.recover()

    def write(self, *payloads: bytes) -> int:
        return self.writer.write([Record(b"", payload) for payload in payloads], 0)

    def segment(self, *payloads: bytes) -> Segment:
        """A sealed one."""
        assert self.write(*payloads) == len(payloads)
        self.writer.seal(0)
        return sealed_segments(self.directory)[-1]

    def waiting(self) -> int:
        """The inode of a file that waits to be written over, full of what is stale."""
        old = self.segment(*[STALE] * 50)
        inode = old.path.stat().st_ino
        old.delete()
        # The sync of another's seal makes sure that the deletion is durable.
        self.segment(b"between").delete()
        return inode

    def open_file(self) -> Path:
        (file,) = self.directory.glob("*.open")
        return file


def payloads(segment: Segment) -> list[bytes | memoryview]:
    return [record.payload for record in segment.records()]


def carriers(directory: Path) -> list[str]:
    return sorted(file.name for file in directory.glob("carrier-*"))


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come"
        time.sleep(0.005)  # It is another thread's; there is nothing to wait on but its effect.


def refusing(code: int) -> Callable[..., None]:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return refuse
