"""Readings of Envoy's counters, and what they say of requests that are not missing. Pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading of an Envoy's counters; the columns of completeness/readings.sql.

    `completed`: requests that ended. `took_us`: how long before `time` the counters were asked for.
    """

    envoy_node: str
    started_at: datetime
    time: datetime
    completed: int = 0
    active: int = 0
    total: int = 0
    written: int = 0
    dropped: int = 0
    flushed: int = 0
    allowed: int = 0
    denied: int = 0
    broken: int = 0
    took_us: int = 0

    @property
    def asked_at(self) -> datetime:
        """From when on the counters may have been looked up."""
        return self.time - timedelta(microseconds=self.took_us)

    @property
    def held(self) -> int:
        """Entries in Envoy's own buffer. An Envoy before 1.39 does not say what it flushed."""
        return max(0, self.written - self.flushed) if self.flushed else 0


def open_by(readings: Sequence[Reading], until: datetime) -> dict[str, int]:
    """Requests of each node that began before `until` and are still open, at most. Pure.

    One that is open all the time since then stands in every reading since then.
    """
    found = {}
    for node, each in _latest_start(readings).items():
        since = [reading for reading in each if reading.time >= until] or each[-1:]
        found[node] = min(reading.active for reading in since)
    return found


def held_by(readings: Sequence[Reading]) -> dict[str, int]:
    """Entries that each node's Envoy still holds, by its last reading. Pure."""
    return {node: each[-1].held for node, each in _latest_start(readings).items()}


def _latest_start(readings: Sequence[Reading]) -> dict[str, list[Reading]]:
    by_node: dict[str, list[Reading]] = defaultdict(list)
    for reading in readings:
        by_node[reading.envoy_node].append(reading)
    return {
        node: [reading for reading in each if reading.started_at == each[-1].started_at]
        for node, each in by_node.items()
    }
