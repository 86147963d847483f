"""Which segments of a spool wait, oldest first, handed out in runs. One listing serves many of them.

A long outage leaves a hundred thousand small segments: the directory is listed again only when all that the
last listing found was handed out, so the cost of listing stays in proportion to the segments.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from spool import sealed_segments

if TYPE_CHECKING:
    from collections.abc import Container
    from pathlib import Path

    from spool import Segment


class Backlog:
    """The segments of one directory. Raises SpoolError where the directory cannot be read."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._waiting: deque[Segment] = deque()
        self._too_few_since: float | None = None

    def take(
        self, max_bytes: int, but: Container[str], *, worth: int = 0, patience: float = 0.0
    ) -> tuple[Segment, ...]:
        """The oldest segments that wait, as many as have `max_bytes`, one at the least; none of `but`.

        Empty when nothing waits, or less than `worth` bytes, and not yet for `patience` seconds. What is taken
        is to be in `but` from then on.
        """
        count, size = self._fitting(max_bytes)
        if not count or size < worth:
            self._waiting = deque(each for each in sealed_segments(self._directory) if each.name not in but)
            count, size = self._fitting(max_bytes)
        if count and size < worth and not self._waited(patience):
            return ()
        self._too_few_since = None
        return tuple(self._waiting.popleft() for _ in range(count))

    def _fitting(self, max_bytes: int) -> tuple[int, int]:
        """How many of those that wait fit, and their bytes."""
        count = size = 0
        for segment in self._waiting:
            more = segment.size()
            if count and size + more > max_bytes:
                break
            count, size = count + 1, size + more
        return count, size

    def _waited(self, patience: float) -> bool:
        now = time.monotonic()
        if self._too_few_since is None:
            self._too_few_since = now
        return now - self._too_few_since >= patience
