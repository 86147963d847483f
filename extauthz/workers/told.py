"""The metrics of all workers, as one page: each worker's own, labelled with its number, and what the parent counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from extauthz.metrics import RELOADS, reload_counter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client import CollectorRegistry

    from extauthz.engine import Mode
    from extauthz.metrics import ReloadResult
    from extauthz.workers.member import Member


class Reloads:
    """What the parent counts: it loads policies, whichever worker decides."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._reloads = reload_counter(registry)

    def policy(self, version: str, mode: Mode) -> None:
        """Each worker tells by which it decides."""

    def reload(self, result: ReloadResult) -> None:
        self._reloads.labels(result).inc()


class Told(Collector):
    """What the workers told last. One that is not there tells nothing: its counts begin anew with it."""

    def __init__(self, members: Sequence[Member]) -> None:
        self._members = members

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily(
            "gateledger_worker_up", "1 for a worker that answers Checks.", labels=["worker"]
        )
        restarts = CounterMetricFamily(
            "gateledger_worker_restarts", "How often a worker was started again.", labels=["worker"]
        )
        for member in self._members:
            up.add_metric([str(member.number)], int(member.serving))
            restarts.add_metric([str(member.number)], member.restarts)
        yield up
        yield restarts
        yield from merged({member.number: member.told for member in self._members if member.serving})


def merged(pages: dict[int, bytes]) -> Iterator[Metric]:
    """One family each of what several pages of metrics tell. Pure."""
    families: dict[str, Metric] = {}
    for number, page in pages.items():
        for told in text_string_to_metric_families(page.decode()):
            if told.name.startswith(RELOADS):
                continue
            family = families.setdefault(told.name, Metric(told.name, told.documentation, told.type))
            for sample in told.samples:
                labels = {**sample.labels, "worker": str(number)}
                family.samples.append(sample._replace(labels=labels))
    yield from families.values()
