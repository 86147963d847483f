"""Which segments of a spool wait, oldest first, handed out in runs. One listing serves many of them.

A long outage leaves a hundred thousand small segments: the directory is listed again only when all that the
last listing found was handed out, so the cost of listing stays in proportion to the segments.
"""

from __future__ import annotations

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

    def take(self, max_bytes: int, but: Container[str]) -> tuple[Segment, ...]:
        """The oldest segments that wait, as many as have `max_bytes`, one at the least; none of `but`.

        Empty when nothing waits. What is taken does not come again before all was taken.
        """
        if not self._waiting:
            self._waiting.extend(each for each in sealed_segments(self._directory) if each.name not in but)
        taken: list[Segment] = []
        size = 0
        while self._waiting:
            size += self._waiting[0].size()
            if taken and size > max_bytes:
                break
            taken.append(self._waiting.popleft())
        return tuple(taken)
