from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from audit import gaps
from audit.gaps import Gap, Reading, Seen
from audit.run import Window

START = datetime(2026, 11, 20, 12, tzinfo=UTC)
SINCE = START - timedelta(hours=1)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def reading(seconds: float, **values: int) -> Reading:
    """A reading of an Envoy that started at START; it logged and flushed what it ended, unless said otherwise."""
    completed = values.get("completed", 0)
    whole = {"written": completed - values.get("dropped", 0), **values}
    whole.setdefault("flushed", whole["written"])
    return Reading("edge", START, at(seconds), **whole)


def marks(*seen: tuple[float, Seen]) -> gaps.Marks:
    return {("edge", START, at(seconds)): each for seconds, each in seen}


def row(missing: int, seconds: float = 0, **values: Any) -> dict[str, Any]:
    minute = at(seconds).replace(second=0)
    return {
        "envoy_node": "edge",
        "minute": minute,
        "may_be_open": 1,
        "missing": missing,
        "one_decision_id": "d",
        "one_request_id": "r",
        "last_time": at(seconds),
        **values,
    }


def without_record(rows: list[dict[str, Any]], *readings: Reading, unread: int = 0) -> list[Gap]:
    return gaps.without_record(rows, readings, {("edge", START): unread}, at(3600))


def compared(
    readings: list[Reading], seen: gaps.Marks, since: datetime = SINCE, held: int = 0
) -> list[tuple[int, str]]:
    found = gaps.disagreements(readings, seen, seen, since, {"edge": held})
    return [(gap.missing, gap.cause) for gap in found]


def test_a_request_that_is_still_open_is_not_missing() -> None:
    newest_first = [row(2, 120), row(2, 0)]

    assert without_record(newest_first, reading(4000, active=4)) == []
    assert [gap.missing for gap in without_record(newest_first, reading(4000, active=3))] == [1]


def test_only_who_is_open_all_the_time_since_may_have_been_open_before() -> None:
    looks = [reading(3700, active=5), reading(3710, active=1), reading(3720, active=7)]

    assert [gap.missing for gap in without_record([row(3)], *looks)] == [2]


def test_a_refusal_is_never_open() -> None:
    assert [gap.missing for gap in without_record([row(2, may_be_open=0)], reading(4000, active=9))] == [2]


def test_a_request_whose_entry_envoy_still_holds_is_not_missing() -> None:
    look = reading(4000, completed=10, written=10, flushed=8)

    assert without_record([row(2, may_be_open=0)], look) == []
    assert compared([look], marks((4000, Seen(ends=8))), held=look.held) == []


def test_an_envoy_that_does_not_say_what_it_flushed_holds_nothing() -> None:
    assert reading(1, completed=10, written=10, flushed=0).held == 0


@pytest.mark.parametrize(
    ("readings", "unread", "cause"),
    [
        pytest.param([], 0, "no counters of this Envoy", id="no counters"),
        pytest.param([reading(200, completed=9)], 0, "not known", id="nothing to be seen"),
        pytest.param([reading(200, completed=9, dropped=3)], 0, "its buffer was full", id="dropped"),
        pytest.param([reading(200, completed=9, broken=1)], 0, "the connection to it, ended", id="broken"),
        pytest.param([reading(-30, dropped=3), reading(200, dropped=3)], 0, "not known", id="dropped before"),
        pytest.param([reading(200)], 3, "in quarantine", id="unreadable"),
        pytest.param(
            [reading(2), replace(reading(30), started_at=at(20))],
            0,
            "Envoy ended before it had sent all that it had logged; a new one started at 12:00:20Z",
            id="envoy killed",
        ),
        pytest.param(
            [reading(60, broken=1), replace(reading(90), started_at=at(80))],
            0,
            "the connection to it, ended",
            id="envoy ended long after",
        ),
    ],
)
def test_a_decision_without_a_record_has_its_likely_cause(
    readings: list[Reading], unread: int, cause: str
) -> None:
    (gap,) = without_record([row(3)], *readings, unread=unread)

    assert cause in gap.cause
    assert (gap.minute, gap.envoy_node, gap.finding) == (START, "edge", "decision_without_record")
    assert (gap.missing, gap.decision_id, gap.request_id) == (3, "d", "r")


def test_records_without_a_decision_tell_what_a_required_audit_would_have_done() -> None:
    base = {
        "envoy_node": "edge",
        "minute": START,
        "missing": 2,
        "one_decision_id": "d",
        "one_request_id": "r",
    }
    lost, refused = gaps.without_decision(
        [{**base, "reason_code": "rule_allow"}, {**base, "reason_code": "audit_unavailable"}]
    )

    assert "extauthz.audit_required prevents both" in lost.cause
    assert "could not write its journal" in refused.cause


def test_counters_that_agree_are_no_gap() -> None:
    readings = [reading(10, completed=4, allowed=3, denied=1), reading(20, completed=4, allowed=3, denied=1)]

    assert compared(readings, marks((10, Seen(4, 3, 1)))) == []


@pytest.mark.parametrize(
    ("readings", "why"),
    [
        pytest.param([reading(10, completed=9, dropped=5)], "Envoy dropped entries", id="dropped"),
        pytest.param([reading(10, completed=9, written=4)], "never logged", id="never logged"),
        pytest.param(
            [reading(10, completed=9), reading(20, completed=9, broken=2)],
            "the connection to it, ended while entries",
            id="broken",
        ),
        pytest.param([reading(10, completed=9)], "did not arrive", id="nothing to be seen"),
    ],
)
def test_requests_that_only_envoy_counted_are_a_gap_with_its_cause(readings: list[Reading], why: str) -> None:
    ((missing, cause),) = compared(readings, marks((10, Seen(ends=4))))

    assert missing == 5
    assert cause.startswith("Envoy ended more requests than there are records")
    assert why in cause


def test_a_loss_is_told_once_and_a_later_one_again() -> None:
    readings = [reading(10, completed=5), reading(70, completed=9), reading(130, completed=20)]
    seen = marks((10, Seen(ends=3)), (70, Seen(ends=4)), (130, Seen(ends=10)))
    found = gaps.disagreements(readings, seen, seen, SINCE, {})

    assert [(START, 2), (at(120), 1)] == [(gap.minute, gap.missing) for gap in found]


def test_what_one_minute_misses_is_one_gap_however_often_the_counters_were_read() -> None:
    readings = [reading(10, completed=5), reading(11, completed=9)]
    seen = marks((10, Seen(ends=3)), (11, Seen(ends=1)))

    assert [5] == [missing for missing, _ in compared(readings, seen)]


def test_counters_are_compared_within_one_start_of_an_envoy() -> None:
    again = Reading("edge", at(60), at(70), completed=1, written=1, flushed=1)
    seen = marks((10, Seen(ends=100))) | {("edge", at(60), at(70)): Seen(ends=1)}

    assert compared([reading(10, completed=100), again], seen) == []


def test_of_an_envoy_that_started_before_only_what_came_after_the_first_look_is_compared() -> None:
    readings = [reading(10, completed=100), reading(20, completed=103)]

    assert compared(readings, marks((10, Seen(ends=7)), (20, Seen(ends=3))), since=at(5)) == []


def test_more_records_than_requests_are_a_gap_too() -> None:
    ((missing, cause),) = compared([reading(10, completed=4)], marks((10, Seen(ends=6))))

    assert (missing, "more records than requests" in cause) == (2, True)


def test_what_envoy_let_pass_and_refused_is_held_against_the_journal() -> None:
    found = compared(
        [reading(10, completed=5, allowed=3, denied=2)], marks((10, Seen(5, allows=2, denials=0)))
    )

    assert [1, 2] == [missing for missing, _ in found]
    assert ["let pass" in found[0][1], "refused" in found[1][1]] == [True, True]


def test_two_witnesses_of_one_loss_are_counted_once() -> None:
    lost = Gap(START, "edge", gaps.COUNTERS, 10, "Envoy ended more requests than there are records: …")
    found = gaps.Found(
        (
            lost,
            Gap(START, "edge", gaps.NO_RECORD, 7, ""),
            Gap(START, "other", gaps.NO_RECORD, 2, ""),
            replace(lost, cause="Envoy let pass more requests …"),
        ),
        Window(SINCE, START),
        0,
        (),
    )

    assert found.requests_without_record == 12
