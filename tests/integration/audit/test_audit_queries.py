"""What holds for every named query, asked as the auditor on the real engine; what each answers stands beside this."""

from __future__ import annotations

from datetime import timedelta

import pytest

from audit import catalogue
from audit.errors import Refused
from audit.run import ask, ask_sql
from tests.integration.audit.conftest import DAY, NOON, Ledger, some

QUERIES = catalogue.load()
REQUIRED = {"resource": "/orders/1", "subject": "alice"}
HOSTILE = [
    pytest.param("' OR 1 = 1 --", id="a quote"),
    pytest.param("\\' OR 1 = 1 --", id="an escaped quote"),
    pytest.param("{subject:String}", id="a parameter's name in braces"),
    pytest.param("%(subject)s %s", id="a client-side placeholder"),
    pytest.param("a\tb\nc\\", id="tab, newline and a backslash at the end"),
    pytest.param("\\N", id="what stands for NULL in TSV"),
    pytest.param("/* */ ; DROP TABLE audit.access_log", id="a comment and a second statement"),
    pytest.param("\x1b[31m\u202e日本", id="control characters and other scripts"),
]


def required_of(query: catalogue.Query) -> dict[str, str]:
    return {one.name: REQUIRED[one.name] for one in query.parameters if one.default is None}


@pytest.mark.parametrize("name", QUERIES)
def test_every_query_gives_no_rows_on_an_empty_ledger(ledger: Ledger, name: str):
    assert [] == ledger.ask(name, **required_of(QUERIES[name]))


@pytest.mark.parametrize("name", QUERIES)
def test_an_entry_that_is_no_end_is_in_no_answer(ledger: Ledger, name: str):
    for decision in ("allow", "deny", "error", "fail_open", "not_evaluated"):
        ledger.plant(
            "20 02:00",
            decision=decision,
            entry_type="DownstreamStart",
            reason_code="unauthenticated",
            response_bytes=1 << 30,
            policy_version="v1",
        )

    given = required_of(QUERIES[name])
    if name == "enumeration":
        given["min_resources"] = "1"

    assert [] == ledger.ask(name, **given)


@pytest.mark.parametrize("name", QUERIES)
def test_rows_outside_the_window_are_in_no_answer(ledger: Ledger, name: str):
    for time in ("19 11:59:59.999999", "20 12:00"):
        for decision in ("allow", "deny", "error"):
            ledger.plant(
                time,
                decision=decision,
                reason_code="unauthenticated",
                response_bytes=1 << 30,
                policy_version="v1",
            )

    given = required_of(QUERIES[name])
    if name == "enumeration":
        given["min_resources"] = "1"

    assert [] == ledger.ask(name, **given)


def test_the_first_moment_of_the_window_belongs_to_it_and_the_last_does_not(ledger: Ledger):
    ledger.plant("19 12:00", url_path="/first")
    ledger.plant("20 12:00", url_path="/last")

    assert [("/first",)] == some(ledger.ask("activity", subject="alice"), "url_path")


def test_a_row_that_was_received_long_after_it_began_is_found(ledger: Ledger):
    ledger.plant("19 13:00", received_at=NOON + timedelta(days=60))

    assert [("d1",)] == some(ledger.ask("activity", subject="alice"), "decision_id")


def test_an_answer_ends_at_the_limit_and_says_when_there_is_more(ledger: Ledger):
    for minute in range(3):
        ledger.plant(f"20 09:{minute:02}")

    query = QUERIES["activity"]
    answers = [
        ask(ledger.reader, query, DAY, limit, {"subject": "alice", "service": "", "decision": ""})
        for limit in (2, 3)
    ]

    assert [(2, True), (3, False)] == [(len(answer.rows), answer.cut) for answer in answers]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_hostile_value_is_a_value_in_every_query(ledger: Ledger, hostile: str):
    ledger.plant("20 02:00", hostile, "deny", service=hostile, url_path=hostile, reason_code=hostile)
    ledger.plant("20 02:00", "alice", "deny")
    strings = {
        name: {
            one.name: hostile for one in query.parameters if one.type == "String" and one.name != "decision"
        }
        for name, query in QUERIES.items()
    }

    for given in strings.values():
        given.pop("timezone", None)
    found = {name: ledger.ask(name, **given) for name, given in strings.items() if given}

    for name in ("denied", "activity", "who-accessed", "sources", "top-denied", "off-hours"):
        assert [hostile] == [row["subject"] for row in found[name]], name
    assert 2 == ledger.reader.query("SELECT count() FROM audit.access_log").result_rows[0][0]


def test_a_reader_cannot_write_through_sql(ledger: Ledger):
    ledger.plant("20 09:00")

    for statement in ("TRUNCATE TABLE audit.access_log", "WITH 1 AS x INSERT INTO audit.policies SELECT 'v'"):
        with pytest.raises(Refused):
            ask_sql(ledger.reader, statement, {}, NOON)

    assert 1 == ledger.reader.query("SELECT count() FROM audit.access_log").result_rows[0][0]


def test_sql_takes_typed_parameters(ledger: Ledger):
    ledger.plant("20 09:00", "o'hara")

    answer = ask_sql(
        ledger.reader,
        "SELECT subject FROM audit.access_log WHERE subject = {who:String} AND time >= {from:DateTime64(9, 'UTC')}",
        {"who": "o'hara", "from": "12h"},
        NOON,
    )

    assert (("o'hara",),) == answer.rows
