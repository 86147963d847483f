"""What is asked, and how a refusal is told: without ClickHouse."""

from __future__ import annotations

import re
import socket
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import NamedTuple

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from audit import catalogue
from audit.errors import ParameterError, Refused, Unreachable
from audit.run import MESSAGE_LENGTH, _explained, _settings, ask_sql, reader, values_from, window_from
from audit.value import Value
from service.clickhouse import ClickHouseSettings

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
QUERIES = catalogue.load()


class Setting(NamedTuple):
    """A row of system.settings."""

    value: str
    readonly: int


SETTINGS = {"timezone": "Europe/Berlin", "limit": 1000}


@pytest.mark.parametrize(
    ("since", "until"),
    [
        pytest.param("1h", "2h", id="the wrong way round"),
        pytest.param("1h", "1h", id="no time between"),
        pytest.param("2026-11-21", "now", id="in the future"),
    ],
)
def test_a_window_without_time_in_it_is_refused(since: str, until: str):
    with pytest.raises(ParameterError, match="is not before"):
        window_from(since, until, NOW)


def test_a_moment_that_is_none_is_refused_by_its_option():
    with pytest.raises(ParameterError, match=r"^--until: 'soon' is no time"):
        window_from("24h", "soon", NOW)


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        pytest.param("denied", {}, {"subject": "", "service": ""}, id="defaults"),
        pytest.param("denied", {"subject": "a"}, {"subject": "a", "service": ""}, id="one given"),
        pytest.param("enumeration", {}, {"min_resources": 100, "service": ""}, id="a number"),
        pytest.param(
            "off-hours",
            {"to_hour": "20"},
            {
                "subject": "",
                "service": "",
                "timezone": "Europe/Berlin",
                "from_hour": 8,
                "to_hour": 20,
                "workdays": [1, 2, 3, 4, 5],
            },
            id="a setting and a list",
        ),
    ],
)
def test_values_are_what_is_given_else_the_defaults(
    name: str, given: dict[str, str], expected: dict[str, Value]
):
    assert expected == values_from(QUERIES[name], given, SETTINGS, NOW)


@pytest.mark.parametrize(
    ("name", "given", "why"),
    [
        pytest.param("activity", {}, "parameter subject has no value: The verified subject", id="missing"),
        pytest.param(
            "denied",
            {"subjekt": "a"},
            "denied has no parameter subjekt; it has: subject, service",
            id="unknown",
        ),
        pytest.param(
            "enumeration", {"min_resources": "x"}, "--min-resources: 'x' is no whole number", id="no number"
        ),
    ],
)
def test_values_that_do_not_fit_are_refused_by_name(name: str, given: dict[str, str], why: str):
    with pytest.raises(ParameterError, match=why):
        values_from(QUERIES[name], given, SETTINGS, NOW)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        pytest.param({}, "parameter who has no value; add --param who=VALUE", id="missing"),
        pytest.param({"who": "a", "x": "b"}, "the query has no parameter {x:Type}", id="unknown"),
    ],
)
def test_sql_is_not_sent_before_its_parameters_are_right(given: dict[str, str], why: str):
    with pytest.raises(ParameterError, match=why):
        ask_sql(None, "SELECT {who:String}", given, NOW)  # type: ignore[arg-type]


def test_a_server_that_is_not_there_is_named_with_what_to_do():
    settings = ClickHouseSettings(url="http://127.0.0.1:1")

    with pytest.raises(Unreachable, match=r"http://127\.0\.0\.1:1: .*Connection refused; start it"):
        reader(settings)


def test_a_server_that_says_nothing_is_told_apart_from_one_that_is_not_there():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = ClickHouseSettings(
            url=f"http://127.0.0.1:{silent.getsockname()[1]}",
            query_timeout_seconds=1,
            connect_timeout_seconds=1,
        )

        with pytest.raises(Unreachable, match=r"did not answer in time: .*clickhouse\.query_timeout_seconds"):
            reader(settings)


@pytest.mark.parametrize(
    ("server_settings", "expected"),
    [
        pytest.param({"readonly": Setting("0", 0)}, {"readonly": 2}, id="a user who could write is held"),
        pytest.param({"readonly": Setting("1", 1)}, {}, id="a user who cannot is left alone"),
        pytest.param({"readonly": Setting("2", 0)}, {}, id="so is one who may change settings only"),
        pytest.param({"readonly": Setting("0", 1)}, {}, id="and one who may not change this setting"),
        pytest.param({}, {}, id="and one who cannot see it"),
    ],
)
def test_the_server_is_told_to_refuse_writes_where_that_is_needed(
    server_settings: dict[str, Setting], expected: dict[str, int]
):
    assert expected == _settings(SimpleNamespace(server_settings=server_settings))  # type: ignore[arg-type]


def test_a_password_file_that_is_not_there_is_named_with_its_setting(tmp_path):
    settings = ClickHouseSettings(reader_password_file=tmp_path / "none")

    with pytest.raises(Refused, match=r"none: .*No such file.*clickhouse\.reader_password_file"):
        reader(settings)


@pytest.mark.parametrize(
    ("error", "kind", "expected"),
    [
        pytest.param(
            DatabaseError(
                "HTTPDriver for http://h:1 received ClickHouse error code 241\n Code: 241. DB::Exception: Memory "
                "limit (for query) exceeded. (MEMORY_LIMIT_EXCEEDED) (version 26.9.2.1 (official build)) (for url h)",
                code=241,
            ),
            Refused,
            "ClickHouse at http://h:1 refused the query: Memory limit (for query) exceeded. (MEMORY_LIMIT_EXCEEDED)",
            id="too big",
        ),
        pytest.param(
            DatabaseError(
                "Code: 62. DB::Exception: Syntax error: failed at position 1 (selct): selct 1. Expected one of: "
                "Query, EXPLAIN, SELECT query. (SYNTAX_ERROR) (version 26.9.2.1)",
                code=62,
            ),
            Refused,
            "ClickHouse at http://h:1 refused the query: Syntax error: failed at position 1 (selct): selct 1. "
            "(SYNTAX_ERROR)",
            id="not valid",
        ),
        pytest.param(
            DatabaseError("HTTP driver received HTTP status 502, server response: Bad Gateway"),
            Refused,
            "ClickHouse at http://h:1 refused the query: HTTP driver received HTTP status 502, server response: "
            "Bad Gateway",
            id="a gateway's answer",
        ),
        pytest.param(
            OperationalError("Error: read timed out"),
            Unreachable,
            "ClickHouse does not answer at http://h:1: Error: read timed out; start it (gateledger up), or set "
            "clickhouse.url to where it is",
            id="no answer",
        ),
    ],
)
def test_an_error_is_told_in_clickhouses_own_words(error: Exception, kind: type[Exception], expected: str):
    told = _explained(error, "http://h:1")  # type: ignore[arg-type]

    assert kind is type(told)
    assert expected == str(told)


def test_a_long_error_is_cut():
    told = _explained(DatabaseError("DB::Exception: " + "x " * 5000, code=1), "u")

    assert len(str(told)) < MESSAGE_LENGTH + 100


@pytest.mark.parametrize(
    ("name", "given", "why"),
    [
        pytest.param(
            "activity",
            {"decision": "permit"},
            "--decision: 'permit' is none of what it may be: allow, deny",
            id="a word",
        ),
        pytest.param(
            "off-hours",
            {"from_hour": "24"},
            "--from-hour: '24' is none of what it may be: 0..23",
            id="too much",
        ),
        pytest.param(
            "off-hours",
            {"workdays": "1, 0"},
            "--workdays: '0' is none of what it may be: 1..7",
            id="in a list",
        ),
        pytest.param(
            "off-hours", {"to_hour": "x"}, "--to-hour: 'x' is no whole number", id="no number at all"
        ),
    ],
)
def test_a_value_that_no_row_can_have_is_refused(name: str, given: dict[str, str], why: str):
    with pytest.raises(ParameterError, match=re.escape(why)):
        values_from(
            catalogue.load()[name],
            {"subject": "alice"} | given if name == "activity" else given,
            {"timezone": "UTC"},
            NOW,
        )


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"from_hour": "0", "to_hour": "24"}, id="the ends"),
        pytest.param({"workdays": "7,1"}, id="a list"),
        pytest.param({"workdays": ""}, id="nothing"),
    ],
)
def test_a_value_that_a_row_can_have_is_taken(given: dict[str, str]):
    assert given.keys() <= values_from(catalogue.load()["off-hours"], given, {"timezone": "UTC"}, NOW).keys()
