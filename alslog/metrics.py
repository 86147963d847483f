"""alslog's figures for Prometheus, taken at the moment of the scrape."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from alslog.intake import DROP_STOPPED
from spool import SpoolError, Usage, usage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from prometheus_client.metrics_core import Metric

    from alslog.intake import Tally

_CAUSES = (DROP_STOPPED,)


@dataclass(frozen=True, slots=True, eq=False)
class AlsCollector(Collector):
    """Counts of this process, of the spool directory, and of the ledger writer's status file."""

    tally: Tally
    spool: Path
    ledger_status: Path

    def collect(self) -> Iterator[Metric]:
        """Every metric, once."""
        yield from self._received()
        yield from self._spooled(_usage(self.spool))
        yield from self._ledger(_totals(self.ledger_status))

    def _received(self) -> Iterator[Metric]:
        tally = self.tally
        yield _counter("entries", "Entries received and on disk.", tally.entries)
        yield _counter("messages", "Messages with entries received and on disk.", tally.messages)
        yield _counter("malformed", "Messages received that could not be read; kept raw.", tally.unparsed)
        dropped = CounterMetricFamily(
            "gateledger_als_dropped", "Entries that reached us and are lost.", labels=["cause"]
        )
        for cause in _CAUSES:
            dropped.add_metric([cause], tally.dropped[cause])
        yield dropped
        yield _counter("broken_streams", "Streams that broke off, by either side.", tally.broken)
        yield _gauge("streams", "Streams that are open.", tally.streams)
        yield _gauge("unsynced_bytes", "Bytes received and not yet on disk.", tally.unsynced_bytes)
        yield _gauge("paused", "1 while reading stands still because the spool is full.", tally.paused)

    @staticmethod
    def _spooled(held: Usage) -> Iterator[Metric]:
        age = max(0.0, time.time() - held.oldest) if held.oldest else 0.0
        yield _gauge("spool_bytes", "Bytes on disk that are not stored yet.", held.bytes)
        yield _gauge("spool_segments", "Segments on disk that are not stored yet.", held.segments)
        yield _gauge("oldest_unstored_seconds", "Age of the oldest entry that is not stored yet.", age)

    @staticmethod
    def _ledger(totals: dict[str, float]) -> Iterator[Metric]:
        stored, unparsed = totals.get("stored_total", 0), totals.get("unparsed_total", 0)
        yield _counter("stored", "Entries that the ledger writer has stored, for ever.", stored)
        yield _counter("unparsed", "Messages and entries set aside as unreadable, for ever.", unparsed)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"gateledger_als_{name}", text, value=value)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"gateledger_als_{name}", text, value=value)


def _usage(directory: Path) -> Usage:
    try:
        return usage(directory)
    except SpoolError:
        # The service's own log tells of a broken disk; the other figures are still worth having.
        return Usage(0, 0, None)


def _totals(status: Path) -> dict[str, float]:
    """The numbers in the ledger writer's status file; none before it has first written it."""
    try:
        content = json.loads(status.read_bytes())
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict):
        return {}
    return {name: value for name, value in content.items() if isinstance(value, int | float)}
