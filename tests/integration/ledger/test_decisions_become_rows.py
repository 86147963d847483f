"""The journal of decisions and Envoy's counters: through the real writer into the real engine, once each."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from chserver_process import ChServerProcess
from clickhouse_connect.driver.client import Client
from ledger_entries import select
from ledger_process import LedgerProcess, fill, origin, wait_until

from access import AccessRequest, Decision, ReasonCode
from access.subject import AuthMethod, Subject
from extauthz import wire

NUMBERS = itertools.count()


@pytest.fixture
def ledger(server: ChServerProcess, tmp_path: Path) -> Iterator[LedgerProcess]:
    with LedgerProcess(tmp_path / "home", server.url, server.password_file) as running:
        yield running


def decision(decision_id: str, code: ReasonCode = ReasonCode.RULE_ALLOW) -> Decision:
    subject = Subject("zoë", ("role:a", "role:b"), AuthMethod.JWT, "demo")
    request = AccessRequest(subject, service="orders", action="GET", resource="/orders/1")
    return Decision(decision_id, request, code, "why", "p, zoë, *, *, *, allow", 7, "version", "config")


def entry(decision_id: str, request_id: str = "", at: int = 1_790_000_000_123_456_789) -> bytes:
    return wire.journal_entry(wire.answer_to(decision(decision_id), 33).metadata, request_id.encode(), at)


def spool_of(ledger: LedgerProcess, worker: str = "0") -> Path:
    return ledger.home / "spool" / "decisions" / worker


def test_a_journalled_decision_is_one_row_with_all_that_was_said(
    ledger: LedgerProcess, client: Client, node: str
) -> None:
    fill(
        spool_of(ledger),
        (origin("decision", node=node, log_name="host-1"), entry(f"{node}/a", "id-1") + entry(f"{node}/b")),
    )
    ledger.drained()
    first, second = select(
        client, f"SELECT * FROM audit.decision_log WHERE envoy_node = '{node}' ORDER BY batch_row"
    )
    (batch,) = select(client, f"SELECT * FROM audit.batches WHERE envoy_node = '{node}'")

    assert first == {
        "time": "2026-09-21 14:13:20.123456789",
        "received_at": first["received_at"],
        "node": "host-1",
        "envoy_node": node,
        "decision_id": f"{node}/a",
        "request_id": "id-1",
        "effect": "allow",
        "reason_code": "rule_allow",
        "subject": "zoë",
        "subject_roles": ["role:a", "role:b"],
        "service": "orders",
        "action": "GET",
        "resource": "/orders/1",
        "rule": "p, zoë, *, *, *, allow",
        "rule_line": 7,
        "policy_version": "version",
        "config_version": "config",
        "decide_us": 33,
        "batch": first["batch"],
        "batch_row": 0,
    }
    assert (second["decision_id"], second["request_id"], second["batch_row"]) == (f"{node}/b", "", 1)
    assert (batch["kind"], batch["rows"], batch["batch"]) == ("decision", 2, first["batch"])
    assert len(batch["rows_digest"]) == 64


def test_decisions_of_a_killed_writer_are_stored_once(
    ledger: LedgerProcess, client: Client, node: str
) -> None:
    for number in range(20):
        payload = b"".join(entry(f"{node}/{number}.{row}") for row in range(50))
        fill(spool_of(ledger, str(number % 2)), (origin("decision", node=node), payload))
        if number % 5 == 4:
            ledger.kill()
            ledger.start()
    ledger.drained()

    (found,) = select(
        client,
        f"SELECT count() AS rows, uniqExact(decision_id) AS ids FROM audit.decision_log WHERE envoy_node = '{node}'",
    )
    assert found == {"rows": 1000, "ids": 1000}


def test_entries_and_decisions_are_counted_apart(
    ledger: LedgerProcess, node: str, rows_of: Callable[..., object]
) -> None:
    wait_until(lambda: ledger.status.get("clickhouse") == "up", "ClickHouse")
    before = ledger.status
    fill(spool_of(ledger), (origin("decision", node=node), entry("a") + entry("b")))
    ledger.drained()
    wait_until(lambda: ledger.status["decisions_total"] == before["decisions_total"] + 2, "the total")

    assert ledger.status["stored_total"] == before["stored_total"]


def test_a_reading_of_counters_is_stored_once(ledger: LedgerProcess, client: Client, node: str) -> None:
    now = time.time_ns()
    started = now // 10**6 - 60_000
    reading = (
        origin("counters", now, node=node, started_at=started),
        json.dumps({"a": 1, "b": 2**63}).encode(),
    )
    fill(ledger.home / "spool" / "envoy", reading, reading)
    ledger.drained()

    found = select(
        client, f"SELECT * FROM audit.envoy_counters WHERE envoy_node = '{node}' ORDER BY name, value"
    )
    assert [("a", 1), ("b", 2**63)] == [(row["name"], row["value"]) for row in found]
    assert 60.0 == pytest.approx(stamp(found[0]["time"]) - stamp(found[0]["started_at"]), abs=0.002)


def stamp(text: str) -> float:
    base, _, fraction = text.partition(".")
    return time.mktime(time.strptime(base, "%Y-%m-%d %H:%M:%S")) + float(f"0.{fraction}")


def test_counters_that_make_no_sense_are_kept_raw(ledger: LedgerProcess, client: Client, node: str) -> None:
    fill(ledger.home / "spool" / "envoy", (origin("counters", node=node, started_at=1), b'{"a": -1}'))
    ledger.drained()

    (found,) = select(client, f"SELECT cause FROM audit.unparsed WHERE envoy_node = '{node}'")
    assert "counters must be whole numbers" in found["cause"]
