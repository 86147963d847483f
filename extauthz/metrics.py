"""What extauthz counts, under the names of the contract."""

from __future__ import annotations

import time
from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Literal, get_args

from prometheus_client import Counter, Gauge
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from access import ReasonCode
from extauthz.decisions import CAUSES
from spool import SpoolError, Usage, usage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

    from extauthz.decisions import Tally
    from extauthz.engine import Mode

# Seconds: an answer takes tens of microseconds; above Envoy's timeout of a second it does not matter.
_BUCKETS = (25e-6, 50e-6, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 0.1, 0.5, 1.0)
_NANOSECONDS = tuple(round(bound * 1e9) for bound in _BUCKETS)
_QUICKEST = _NANOSECONDS[0]

RELOADS = "gateledger_policy_reloads"
ReloadResult = Literal["loaded", "refused", "not_journaled"]


class _Answers(Collector):
    """Answers and how long they took: plain numbers, for prometheus_client's locks cost more than the counting.

    Counted on one thread; a scrape reads what is there at that moment.
    """

    def __init__(self) -> None:
        self._counts = dict.fromkeys(ReasonCode, 0)
        # Not yet summed up: each answer is in one of them; the last is for all beyond the bounds.
        self._buckets = [0] * (len(_BUCKETS) + 1)
        self._nanoseconds = 0

    def count(self, reason_code: ReasonCode, nanoseconds: int) -> None:
        self._counts[reason_code] += 1
        # Most are among the quickest, and need no search.
        self._buckets[0 if nanoseconds <= _QUICKEST else bisect_left(_NANOSECONDS, nanoseconds)] += 1
        self._nanoseconds += nanoseconds

    def collect(self) -> Iterator[Metric]:
        checks = CounterMetricFamily(
            "gateledger_checks", "Checks answered.", labels=["effect", "reason_code"]
        )
        for code, count in self._counts.items():
            checks.add_metric([code.outcome.effect.value, code.value], count)
        yield checks
        bounds = [*map(floatToGoString, _BUCKETS), "+Inf"]
        yield HistogramMetricFamily(
            "gateledger_check_duration_seconds",
            "Seconds from a Check's bytes to its answer's.",
            buckets=list(zip(bounds, accumulate(self._buckets), strict=True)),
            sum_value=self._nanoseconds / 1e9,
        )


def reload_counter(registry: CollectorRegistry) -> Counter:
    """What became of policy versions, all results present from the start."""
    reloads = Counter(
        f"{RELOADS}_total",
        "Policy versions that were loaded, refused, or not swapped in because the journal failed.",
        ["result"],
        registry=registry,
    )
    for result in get_args(ReloadResult):
        reloads.labels(result)
    return reloads


class Metrics:
    """Counters and gauges of one decision point, all present from the start."""

    def __init__(self, registry: CollectorRegistry) -> None:
        answers = _Answers()
        registry.register(answers)
        # Count one answer: its reason code, and its nanoseconds.
        self.observe = answers.count
        self._info = Gauge(
            "gateledger_policy_info", "1 for the policy version that decides.", ["version"], registry=registry
        )
        self._engine = Gauge(
            "gateledger_policy_engine_info",
            "1 for how the policy is evaluated: indexed, or pycasbin (every rule tried at every request).",
            ["mode"],
            registry=registry,
        )
        self._reloads = reload_counter(registry)

    def policy(self, version: str, mode: Mode) -> None:
        """From now on this version decides, and no other."""
        self._info.clear()
        self._info.labels(version).set(1)
        for known in ("indexed", "pycasbin"):
            self._engine.labels(known).set(known == mode)

    def reload(self, result: ReloadResult) -> None:
        self._reloads.labels(result).inc()


@dataclass(frozen=True, slots=True, eq=False)
class JournalCollector(Collector):
    """The journal of decisions, at the moment of the scrape."""

    tally: Tally
    directory: Path

    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily(
            "gateledger_journal_decisions", "Decisions journalled, on disk.", value=self.tally.durable
        )
        dropped = CounterMetricFamily(
            "gateledger_journal_dropped", "Decisions that the journal does not hold.", labels=["cause"]
        )
        for cause in CAUSES:
            dropped.add_metric([cause], self.tally.dropped[cause])
        yield dropped
        yield _gauge("pending_bytes", "Bytes of decisions not yet on disk.", self.tally.pending_bytes)
        held = _usage(self.directory)
        age = max(0.0, time.time() - held.oldest) if held.oldest else 0.0
        yield _gauge("spool_bytes", "Bytes of decisions on disk that are not stored yet.", held.bytes)
        yield _gauge("oldest_unstored_seconds", "Age of the oldest decision that is not stored yet.", age)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"gateledger_journal_{name}", text, value=value)


def _usage(directory: Path) -> Usage:
    try:
        return usage(directory)
    except SpoolError:
        # The log tells of a broken disk; the other figures are still worth having.
        return Usage(0, 0, None)
