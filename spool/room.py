"""How full a spool is. Pure: the caller measures, this judges."""

from __future__ import annotations

from dataclasses import dataclass

# A full spool takes records again only at this share of its limit, so that it does not flap.
_RESUME = 0.9


@dataclass(slots=True)
class Room:
    """Full from `max_bytes` on, or when the disk has less than `reserve_bytes` left.

    `bytes` is never too low: it counts what was appended, and only a measurement lowers it.
    """

    max_bytes: int
    reserve_bytes: int
    bytes: int = 0
    full: bool = False

    @property
    def crowded(self) -> bool:
        """Whether what has been appended since the last measurement calls for a new one."""
        return self.full or self.bytes >= self.max_bytes * _RESUME

    def add(self, count: int) -> None:
        """So many bytes more."""
        self.bytes += count
        self.full = self.full or self.bytes >= self.max_bytes

    def refuse(self) -> None:
        """The kernel said that there is no room."""
        self.full = True

    def measured(self, count: int, free: int) -> None:
        """The spool has `count` bytes, the disk `free` ones."""
        self.bytes = count
        if self.full:
            self.full = count >= self.max_bytes * _RESUME or free * _RESUME < self.reserve_bytes
        else:
            self.full = count >= self.max_bytes or free < self.reserve_bytes
