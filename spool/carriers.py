"""Files that segments are written into, again and again, in place of a new file for each.

A segment that its reader has deleted leaves its blocks and its pages of the kernel's cache behind; to write over them
costs half of what new ones cost, and where memory is a virtual machine's that gives what is free back to its host,
a tenth (docs/design/spool.md). So each file has a second name, `carrier-N`, beside the segment's. The reader knows
nothing of it: it deletes the segment's name, and a file that has but its own name left was deleted.

Two rules keep that from taking a record along. A file is written over only when its sole name is `carrier-N`: who keeps
a segment, by a link or elsewhere, keeps it, and if `carrier-N` itself vanishes the segment is nobody's to write into.
And only once that was made durable: after a loss of power no segment's name leads to what came later.

What such a file still holds of another segment is never taken for a record: a frame's checksum starts from its own
segment's salt (format.py). It is removed when nothing is written for a while, when the spool or disk is full, at the
end, and at the next start.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spool import disk

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_NAME = re.compile(r"carrier-[0-9]+")
# Each is an open file, of which a process may commonly have 1024.
_MOST_FILES = 64


@dataclass(frozen=True, slots=True)
class Carrier:
    """One file, open for writing."""

    path: Path
    fd: int

    @property
    def names(self) -> int:
        """1: its own alone; 2: it is a segment too; 0: its own is gone, or another file's. Raises OSError."""
        try:
            there = self.path.lstat()
        except FileNotFoundError:
            return 0
        return there.st_nlink if os.path.samestat(there, os.fstat(self.fd)) else 0

    @property
    def size(self) -> int:
        """Bytes. Raises OSError."""
        return os.fstat(self.fd).st_size


class Carriers:
    """The files of one directory; at most `most_bytes` of them wait. Not safe for threads. All methods raise OSError."""

    def __init__(self, directory: Path, most_bytes: int, each_bytes: int) -> None:
        """`each_bytes`: about the size of a segment."""
        self._directory = directory
        self._most_bytes = most_bytes
        self._most = min(_MOST_FILES, most_bytes // each_bytes)
        self._made = 0
        self._waiting: list[Carrier] = []
        self._used: list[Carrier] = []

    def take(self) -> Carrier | None:
        """A file that waits, whatever it holds, or a new one; None when there are enough."""
        while self._waiting and self._most:
            # The one whose deletion is longest ago.
            carrier = self._waiting.pop(0)
            self._used.append(carrier)
            if carrier.names == 1:
                return carrier
        if len(self._used) >= self._most:
            return None
        self._made += 1
        path = self._directory / f"carrier-{self._made}"
        carrier = Carrier(path, disk.create_rewritable(path))
        self._used.append(carrier)
        return carrier

    def deleted(self) -> Sequence[Carrier]:
        """The files whose segments were deleted, but perhaps not durably yet: sync the directory, then `reuse` them.

        For when no segment is open: a file that somebody took the name from is closed.
        """
        room = self._most_bytes - sum(carrier.size for carrier in self._waiting)
        found = []
        for carrier in tuple(self._used):
            names = carrier.names
            if not names:
                self._used.remove(carrier)
                os.close(carrier.fd)
            elif names == 1 and carrier.size <= room:
                room -= carrier.size
                found.append(carrier)
            elif names == 1:
                self._remove(carrier, self._used)
        return found

    def reuse(self, deleted: Sequence[Carrier]) -> None:
        """These may be written over."""
        for carrier in deleted:
            self._used.remove(carrier)
            self._waiting.append(carrier)

    def release(self, but: Carrier | None = None) -> bool:
        """Remove the second names of all files but one; a segment stays a segment. False if some resist."""
        for group in (self._waiting, self._used):
            for carrier in tuple(group):
                if carrier is not but:
                    self._remove(carrier, group)
        return not {*self._waiting, *self._used} - {but}

    def stop(self) -> None:
        """Remove what waits, and give no file any more."""
        self._most = 0
        self.release()

    def clear(self) -> None:
        """Remove what a dead process left."""
        with os.scandir(self._directory) as entries:
            left = [entry.name for entry in entries if _NAME.fullmatch(entry.name)]
        for name in left:
            _unlink(self._directory / name)

    def close(self) -> None:
        """Close the files; their names stay."""
        for carrier in (*self._waiting, *self._used):
            with suppress(OSError):
                os.close(carrier.fd)
        self._waiting.clear()
        self._used.clear()

    def _remove(self, carrier: Carrier, group: list[Carrier]) -> None:
        """What cannot be removed stays in its group, so that it is tried again and counts."""
        if not carrier.names or _unlink(carrier.path):
            group.remove(carrier)
            os.close(carrier.fd)


def _unlink(path: Path) -> bool:
    """Whether the name is gone. A spare file that stays does no harm: only a broken disk raises OSError."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        if disk.broken(error):
            raise
        return False
    return True
