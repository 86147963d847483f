from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.registry import Collector

from access import ReasonCode
from extauthz.metrics import Metrics
from extauthz.workers.told import Reloads, merged


def page(allowed: int) -> bytes:
    """What one worker tells after so many Checks."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.policy("v1", "indexed")
    for _ in range(allowed):
        metrics.observe(ReasonCode.RULE_ALLOW, 1_000_000)
    return generate_latest(registry)


class Pages(Collector):
    def collect(self):  # type: ignore[no-untyped-def]
        yield from merged({0: page(2), 1: page(3)})


def test_each_worker_has_its_own_counts_on_one_page() -> None:
    registry = CollectorRegistry()
    registry.register(Pages())
    Reloads(registry).reload("loaded")
    labels = {"effect": "allow", "reason_code": "rule_allow"}
    lines = generate_latest(registry).decode().splitlines()
    types = [line for line in lines if line.startswith("# TYPE")]

    def of(worker: str, name: str, **more: str) -> float | None:
        return registry.get_sample_value(name, {**more, "worker": worker})

    assert [of(worker, "gateledger_checks_total", **labels) for worker in "01"] == [2, 3]
    assert [of(worker, "gateledger_policy_info", version="v1") for worker in "01"] == [1, 1]
    assert [of(worker, "gateledger_check_duration_seconds_count") for worker in "01"] == [2, 3]
    # Who loads policies counts that, and nobody else; each family stands on the page once.
    assert registry.get_sample_value("gateledger_policy_reloads_total", {"result": "loaded"}) == 1
    assert of("0", "gateledger_policy_reloads_total", result="loaded") is None
    assert len(types) == len(set(types))


def test_answers_are_counted_by_their_seconds() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)

    for nanoseconds in (25_000, 25_001, 1_000_000, 2_000_000_000):
        metrics.observe(ReasonCode.RULE_ALLOW, nanoseconds)

    name = "gateledger_check_duration_seconds"
    bounds = ("2.5e-05", "5e-05", "0.0005", "0.001", "1.0", "+Inf")
    assert [registry.get_sample_value(f"{name}_bucket", {"le": bound}) for bound in bounds] == [
        1,
        2,
        2,
        3,
        3,
        4,
    ]
    assert registry.get_sample_value(f"{name}_sum") == pytest.approx(2.001050001)
