"""`audit gaps` asks the real engine, as the reader, over rows that were put there."""

from __future__ import annotations

import itertools
import json
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from audit import gaps
from audit.gaps import Found
from audit.run import Window
from audit.slices import slices

START = datetime(2026, 11, 20, 12, tzinfo=UTC)
TABLES = ("access_log", "decision_log", "envoy_counters", "removals", "unparsed")


class Ledger:
    """Rows around one moment, and the question."""

    def __init__(self, writer: Client, reader: Client) -> None:
        self._writer, self._reader = writer, reader
        self._numbers = itertools.count()
        self._rows: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        for table in TABLES:
            writer.command(f"TRUNCATE TABLE audit.{table}")

    def at(self, seconds: float) -> str:
        return f"{START + timedelta(seconds=seconds):%Y-%m-%d %H:%M:%S.%f}"

    def put(self, table: str, **row: Any) -> None:
        self._rows[table].append(row)

    def record(self, seconds: float, decision_id: str = "", duration: float = 0.001, **more: Any) -> None:
        self.put(
            "access_log",
            time=self.at(seconds),
            received_at=self.at(seconds + duration + 0.3),
            duration_us=int(duration * 1e6),
            decision_id=decision_id,
            envoy_node="edge",
            batch="b",
            batch_row=next(self._numbers),
            **more,
        )

    def decision(self, seconds: float, decision_id: str, effect: str = "allow", **more: Any) -> None:
        self.put(
            "decision_log",
            time=self.at(seconds),
            received_at=self.at(seconds + 0.1),
            decision_id=decision_id,
            effect=effect,
            reason_code={"allow": "rule_allow", "deny": "rule_deny"}[effect],
            envoy_node="edge",
            **more,
        )

    def reading(self, seconds: float, started: float = -7200, **values: int) -> None:
        about = {"time": self.at(seconds), "started_at": self.at(started), "envoy_node": "edge"}
        for name, value in values.items():
            self.put("envoy_counters", **about, name=NAMES[name], value=value)

    def gaps(self) -> Found:
        for table, rows in self._rows.items():
            data = "\n".join(map(json.dumps, rows)).encode()
            self._writer.command(
                f"INSERT INTO audit.{table} FORMAT JSONEachRow",
                data=data,
                settings={"date_time_input_format": "best_effort", "async_insert": 0},
            )
        self._rows.clear()
        hour = timedelta(hours=1)
        return gaps.find(self._reader, Window(START - hour, START + hour))

    def told(self) -> list[tuple[str, int]]:
        return [(gap.finding, gap.missing) for gap in self.gaps().gaps]


NAMES = {
    "completed": "http.gate.downstream_rq_completed",
    "total": "http.gate.downstream_rq_total",
    "took": "gateledger.reading_us",
    "active": "http.gate.downstream_rq_active",
    "written": "access_logs.grpc_access_log.logs_written",
    "dropped": "access_logs.grpc_access_log.logs_dropped",
    "flushed": "access_logs.grpc_access_log.grpc_entries_flushed",
    "broken": "cluster.alslog.upstream_cx_destroy_with_active_rq",
    "allowed": "http.gate.ext_authz.ok",
    "denied": "http.gate.ext_authz.denied",
}


@pytest.fixture
def ledger(filled: Any) -> Ledger:
    """An empty ledger on the server that all tests here share."""
    return Ledger(filled.writer, filled.reader)


def test_three_witnesses_that_agree_have_no_gap(ledger: Ledger) -> None:
    ledger.decision(0, "a")
    ledger.decision(1, "b", "deny")
    ledger.record(0, "a", duration=20)
    ledger.record(1, "b")
    ledger.record(2, "", entry_type="DownstreamEnd")
    ledger.record(2, "", entry_type="DownstreamStart")
    ledger.reading(-10, completed=100, written=100, flushed=100, allowed=60, denied=30)
    ledger.reading(10, completed=102, written=102, flushed=102, allowed=61, denied=31)
    ledger.reading(30, completed=103, written=103, flushed=103, allowed=61, denied=31)

    assert ledger.told() == []
    assert ledger.gaps().nodes == ("edge",)


def test_a_decision_without_a_record_is_a_gap_with_an_example(ledger: Ledger) -> None:
    ledger.decision(0, "a", request_id="r-a")
    ledger.record(0, "a", entry_type="DownstreamTunnelSuccessfullyEstablished")
    ledger.decision(1, "b")
    ledger.record(1, "b")

    (gap,) = ledger.gaps().gaps

    assert (gap.finding, gap.missing) == ("decision_without_record", 1)
    assert (gap.minute, gap.decision_id, gap.request_id) == (START, "a", "r-a")


def test_a_decision_that_envoy_did_not_wait_for_is_found_by_its_request(ledger: Ledger) -> None:
    ledger.decision(0, "late", request_id="r-1")
    ledger.record(0, "", request_id="r-1", decision="error", reason_code="authz_timeout_or_unreachable")

    assert ledger.told() == []


def test_a_decision_that_envoy_did_not_hear_and_asked_for_again_is_not_missing(ledger: Ledger) -> None:
    ledger.decision(0, "unheard", request_id="r-1", resource="/orders/1")
    ledger.decision(0.02, "heard", request_id="r-1", resource="/orders/1")
    ledger.record(0, "heard", request_id="r-1")

    assert ledger.told() == []


@pytest.mark.parametrize(
    ("seconds", "more"),
    [
        pytest.param(0.02, {"resource": "/orders/2"}, id="about something else"),
        pytest.param(0.02, {"resource": "/orders/1", "subject": "bob"}, id="about somebody else"),
        pytest.param(-0.02, {"resource": "/orders/1"}, id="before"),
        pytest.param(60, {"resource": "/orders/1"}, id="much later"),
        pytest.param(0.02, {"resource": "/orders/1", "request_id": ""}, id="without an id"),
    ],
)
def test_an_id_that_comes_twice_hides_no_missing_record(
    ledger: Ledger, seconds: float, more: dict[str, Any]
) -> None:
    ledger.decision(0, "unheard", request_id=more.get("request_id", "r-1"), resource="/orders/1")
    ledger.decision(seconds, "another", **{"request_id": "r-1", **more})
    ledger.record(seconds, "another", request_id=more.get("request_id", "r-1"))

    assert ledger.told() == [("decision_without_record", 1)]


@pytest.mark.parametrize("code", ["deadline_exceeded", "audit_unavailable"])
def test_a_decision_that_extauthz_did_not_wait_to_keep_is_found_by_its_request(
    ledger: Ledger, code: str
) -> None:
    ledger.decision(0, "kept too late", request_id="r-1")
    ledger.decision(0, "refused for that", "deny")
    ledger.record(0, "refused for that", request_id="r-1", decision="error", reason_code=code)

    assert ledger.told() == []


def test_a_request_id_that_comes_again_hides_no_loss(ledger: Ledger) -> None:
    ledger.decision(0, "a", request_id="chosen")
    ledger.record(0, "a", request_id="chosen")
    ledger.decision(1, "b", request_id="chosen")

    assert ledger.told() == [("decision_without_record", 1)]


def test_a_record_without_a_decision_is_a_gap(ledger: Ledger) -> None:
    ledger.decision(-3000, "old")
    ledger.record(-3000, "old", duration=3000)
    ledger.record(0, "a", reason_code="rule_allow")

    (gap,) = ledger.gaps().gaps

    assert (gap.finding, gap.missing, gap.decision_id) == ("record_without_decision", 1, "a")


def test_a_decision_from_long_before_the_window_is_found(ledger: Ledger) -> None:
    ledger.decision(-30 * 3600, "a")
    ledger.record(-30 * 3600, "a", duration=30 * 3600)

    assert ledger.told() == []


def test_a_record_that_comes_long_after_the_window_is_found(ledger: Ledger) -> None:
    hours = 3 * 3600
    ledger.decision(0, "a", "deny")
    ledger.record(0, "a", duration=hours)
    ledger.decision(1, "b", "deny", request_id="r-b")
    ledger.record(1, "", duration=hours, request_id="r-b")
    ledger.decision(2, "c", "deny")
    ledger.record(2, "c", duration=hours, entry_type="DownstreamStart")

    assert [("decision_without_record", 1, "c")] == [
        (gap.finding, gap.missing, gap.decision_id) for gap in ledger.gaps().gaps
    ]


@pytest.mark.parametrize("most", [pytest.param(1, id="hour by hour"), pytest.param(10**6, id="at once")])
def test_what_is_compared_in_slices_is_compared_whole(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(gaps, "slices", partial(slices, most=most))
    for seconds in range(-3500, 3600, 500):
        ledger.decision(seconds, f"d{seconds}", "deny")
        # Each ends in the hour after its own, but for those that are missing on either side.
        ledger.record(seconds, f"{'x' if seconds % 1500 == 0 else 'd'}{seconds}", duration=3700)

    found = ledger.gaps().gaps

    assert {"decision_without_record": 5, "record_without_decision": 2} == dict(
        Counter(gap.finding for gap in found)
    )
    assert sorted(found, key=lambda gap: gap.minute) == list(found)


def test_requests_that_only_the_counters_saw_are_a_gap(ledger: Ledger) -> None:
    ledger.reading(-10, completed=100, written=100, flushed=100)
    ledger.record(0)
    ledger.reading(10, completed=105, written=105, flushed=105)
    ledger.reading(20, completed=105, written=105, flushed=105, broken=1)

    (gap,) = ledger.gaps().gaps

    assert (gap.finding, gap.missing, gap.minute) == ("counters_disagree", 4, START)
    assert "the connection to it, ended" in gap.cause


def test_counters_begin_anew_with_each_envoy(ledger: Ledger) -> None:
    ledger.reading(-10, completed=100, written=100, flushed=100)
    ledger.record(0)
    ledger.reading(5, completed=101, written=101, flushed=101)
    # Ended after the last look, and before the new one began: nobody counted it.
    ledger.record(8)
    ledger.record(12)
    ledger.reading(20, started=10, completed=1, written=1, flushed=1)

    assert ledger.told() == []


def test_a_request_that_ends_while_the_counters_are_read_is_in_either(ledger: Ledger) -> None:
    ledger.reading(-10, completed=100, written=100, flushed=100)
    ledger.record(9.95, duration=0.049)
    ledger.reading(10, completed=100, written=100, flushed=100)
    ledger.record(20.001)
    ledger.reading(20, completed=102, written=102, flushed=102)

    assert ledger.told() == []


def test_what_was_removed_by_retention_is_not_missing(ledger: Ledger) -> None:
    ledger.decision(0, "a")
    ledger.put(
        "removals",
        table_name="access_log",
        action="dropped",
        partition="p",
        last_received_at=ledger.at(10),
        first_received_at=ledger.at(-10),
        days=1,
    )
    found = ledger.gaps()

    assert found.gaps == ()
    assert found.window.since == START + timedelta(seconds=11)


def test_readings_that_follow_one_another_closely_make_no_gap(ledger: Ledger) -> None:
    ledger.record(-1)
    for number in range(10):
        ledger.reading(number / 10, completed=100 + number, written=100 + number, flushed=100 + number)
        ledger.record(number / 10 + 0.05)

    assert ledger.told() == []


def test_what_a_killed_envoy_did_after_its_last_reading_is_not_the_next_ones(ledger: Ledger) -> None:
    ledger.reading(-10, completed=100, written=100, flushed=100)
    ledger.reading(5, completed=100, written=100, flushed=100)
    # In no reading; and the next Envoy is read at once: what its reading's slack reaches is not its own.
    ledger.record(9.7, duration=0.01)
    ledger.reading(10.1, started=10, completed=0)
    ledger.reading(20, started=10, completed=0)

    assert ledger.told() == []


def test_the_slack_of_a_killed_envoys_last_reading_takes_nothing_from_the_next_one(ledger: Ledger) -> None:
    ledger.reading(-10, completed=100, written=100, flushed=100)
    ledger.reading(9.9, completed=100, written=100, flushed=100)
    ledger.record(10.02, duration=0.01)
    ledger.reading(20, started=10, completed=1, written=1, flushed=1)

    assert ledger.told() == []


def test_a_reading_that_took_long_may_stand_anywhere_in_that_time(ledger: Ledger) -> None:
    ledger.reading(-10, completed=100, written=100, flushed=100)
    ledger.record(7, duration=0.01)
    ledger.reading(10, completed=100, written=100, flushed=100, took=4_000_000)
    ledger.reading(20, completed=101, written=101, flushed=101)

    assert ledger.told() == []


def test_an_answer_under_way_and_a_client_that_left_are_counted_when_they_end(ledger: Ledger) -> None:
    ledger.reading(-10, total=100, completed=100, written=100, flushed=100)
    ledger.record(0, duration=30)
    ledger.record(1)
    # One answer has begun and not ended; one request ended without an answer.
    ledger.reading(10, total=102, active=1, completed=101, written=101, flushed=101)
    ledger.reading(40, total=102, active=0, completed=101, written=102, flushed=102)

    assert ledger.told() == []
