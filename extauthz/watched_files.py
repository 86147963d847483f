"""The policy files from look to look: whether they changed, and whether they rest.

A file that was replaced (another inode: a rename, a ConfigMap's new links) is whole when it appears. A
file that was changed in place may be half of what it will be, however long its writer pauses: it
rests once it has not changed for a while. So does one whose last row does not end.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

Stat = tuple[int, ...]
Signature = tuple[Stat | None, ...]

# Device and inode: how many items of a Stat say which file it is; its change time ends it.
_WHICH = 2


@dataclass(frozen=True, slots=True)
class _Seen:
    """One path as it was last seen; `since` on the monotonic clock, in seconds."""

    stat: Stat | None = None
    since: float = 0.0
    in_place: bool = False


class WatchedFiles:
    """Model and policy. Remembers what `look` saw."""

    def __init__(
        self,
        paths: tuple[Path, Path],
        settle_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`wall` tells the age of files (epoch seconds), `monotonic` the time between looks."""
        self.paths = paths
        self._settle_seconds = settle_seconds
        self._monotonic = monotonic
        self._wall = wall
        self._seen = tuple(_Seen() for _ in paths)

    def look(self) -> Signature:
        """Look at the files now; equal signatures are unchanged files."""
        self._seen = tuple(map(self._look_at, self.paths, self._seen))
        return tuple(seen.stat for seen in self._seen)

    def rest(self, texts: Iterable[bytes]) -> bool:
        """Whether the files, as `look` saw them and with these contents, may be taken as they are."""
        rested = self._monotonic() - self._settle_seconds
        return all(
            seen.since <= rested or (not seen.in_place and text.endswith(b"\n"))
            for seen, text in zip(self._seen, texts, strict=True)
        )

    def _look_at(self, path: Path, last: _Seen) -> _Seen:
        now, stat = self._monotonic(), _stat(path)
        if stat is None:
            return _Seen()
        if stat == last.stat:
            return last
        if last.stat and stat[:_WHICH] == last.stat[:_WHICH]:
            # By our own clock alone: a file server's may be behind, which would make every change look old.
            return _Seen(stat, now, in_place=True)
        return _Seen(stat, now - max(0.0, self._wall() - stat[-1] / 1e9))


def _stat(path: Path) -> Stat | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
