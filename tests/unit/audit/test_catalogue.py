"""The named queries: every file is documented, and a file that is not is refused with the reason."""

from __future__ import annotations

import re

import pytest

from audit import catalogue
from audit.catalogue import Parameter, query_from, types_in
from audit.errors import CatalogueError
from audit.settings import AuditSettings

QUERIES = catalogue.load()
NAMES = {
    *("who-accessed", "activity", "denied", "denial-reasons", "top-subjects", "top-resources", "top-denied"),
    *(
        "authz-errors",
        "unauthenticated",
        "new-access",
        "off-hours",
        "enumeration",
        "volume",
        "policy-versions",
    ),
    *("latency", "status-codes", "sources"),
}
WINDOW = {"since": "DateTime64(9, 'UTC')", "until": "DateTime64(9, 'UTC')", "limit": "UInt64"}
GOOD = """\
-- Requests of somebody.
--
-- Question: What did they do,
--     and when?
-- Control: SOC 2 CC7.2
-- Param who: The subject.
-- Param least = 3: Least number.
-- Param zone = $timezone: Time zone.
-- Param service = "": Any.
-- Note: One.
-- Example: gateledger audit somebody --who alice

-- Not of the header.
SELECT {who:String}, {least:UInt8}, {zone:String}, {service:String}, '{not:String}' -- {nor:String}
"""


def test_all_questions_that_the_project_promises_are_there():
    assert set() == NAMES - set(QUERIES)


@pytest.mark.parametrize("name", QUERIES)
def test_every_query_says_what_it_answers_and_for_which_control(name: str):
    query = QUERIES[name]

    assert query.questions
    assert query.controls
    assert all(example.startswith(f"gateledger audit {name}") for example in query.examples)
    assert query.examples


@pytest.mark.parametrize("name", QUERIES)
def test_every_query_takes_the_window_and_the_limit_typed(name: str):
    assert WINDOW == {common: QUERIES[name].types.get(common) for common in WINDOW}


@pytest.mark.parametrize("name", QUERIES)
def test_every_query_counts_ends_and_bounds_the_partitions(name: str):
    sql = re.sub(r"--[^\n]*", "", QUERIES[name].sql)
    # Rows of whole days are counted without being read, to see from where on to read.
    counts = sql.count("_partition_value.1 AS day, count() AS rows FROM audit.access_log GROUP BY day")
    reads = sql.count("FROM audit.access_log") - counts

    assert reads > 0
    assert reads == len(re.findall(r"\bAND is_end\b", sql))
    assert reads == len(re.findall(r"WHERE _partition_value\.1 >= ", sql))
    # A request may be received long after it began: no upper bound. By the partition, for received_at would be read
    # of every row.
    assert "_partition_value.1 <" not in sql
    assert "received_at" not in sql


@pytest.mark.parametrize("name", QUERIES)
def test_every_example_uses_options_that_the_query_has(name: str):
    known = {"since", "until", "limit", "format"} | {
        one.name.replace("_", "-") for one in QUERIES[name].parameters
    }

    used = {option for example in QUERIES[name].examples for option in re.findall(r"--([a-z-]+)", example)}

    assert set() == used - known


@pytest.mark.parametrize("name", QUERIES)
def test_every_default_that_is_a_setting_is_one(name: str):
    settings = [one.default[1:] for one in QUERIES[name].parameters if (one.default or "").startswith("$")]

    assert all(key in AuditSettings.model_fields for key in settings)


def test_a_header_is_read_into_plain_values():
    query = query_from("somebody", GOOD)

    assert "Requests of somebody." == query.description
    assert ("What did they do, and when?",) == query.questions
    assert ("SOC 2 CC7.2",) == query.controls
    assert ("One.",) == query.notes
    assert (
        Parameter("who", "String", "The subject.", None),
        Parameter("least", "UInt8", "Least number.", "3"),
        Parameter("zone", "String", "Time zone.", "$timezone"),
        Parameter("service", "String", "Any.", ""),
    ) == query.parameters
    assert query.sql.startswith("-- Not of the header.\nSELECT")


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        pytest.param("SELECT {a:String}, {a:String}", {"a": "String"}, id="twice the same"),
        pytest.param("{t:DateTime64(9, 'UTC')}", {"t": "DateTime64(9, 'UTC')"}, id="a type with quotes"),
        pytest.param("{ a : Array(UInt8) }", {"a": "Array(UInt8)"}, id="blanks"),
        pytest.param("SELECT '{a:String}', '''{a:String}', '\\'{a:String}'", {}, id="in strings"),
        pytest.param('SELECT "{a:String}", `{b:String}`', {}, id="in quoted names"),
        pytest.param("SELECT 1 -- {a:String}\n, {b:String}", {"b": "String"}, id="in a line comment"),
        pytest.param("SELECT /* {a:String}\n */ {b:String}", {"b": "String"}, id="in a block comment"),
        pytest.param("SELECT {'a': 1}", {}, id="a map"),
    ],
)
def test_parameters_are_found_where_clickhouse_would_put_values(sql: str, expected: dict[str, str]):
    assert expected == types_in(sql)


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        pytest.param("x", "SELECT 1", "must begin with a comment of one sentence", id="no description"),
        pytest.param("x", "-- No full stop\nSELECT 1", "must begin with a comment", id="no sentence"),
        pytest.param(
            "x", "-- A.\n-- Parm a: b\nSELECT 1", "cannot read the header line 'Parm a: b'", id="a typo"
        ),
        pytest.param("x", "-- A.\nSELECT {a:String}", "has no Param line for a", id="undescribed"),
        pytest.param(
            "x",
            "-- A.\n-- Param a: b\nSELECT 1",
            "describes a parameter a that its SQL does not have",
            id="idle",
        ),
        pytest.param("x", "-- A.\nSELECT {a:String}, {a:UInt8}", "both String and UInt8", id="two types"),
        pytest.param(
            "x", "-- A.\n-- Param format: b\nSELECT {format:String}", "are reserved", id="a reserved name"
        ),
        pytest.param(
            "x", "-- A.\n-- Param since: b\nSELECT {since:String}", "are reserved", id="a common name"
        ),
        pytest.param(
            "x", "-- A.\n-- Param a: b\n-- Param a: c\nSELECT {a:String}", "a name comes once", id="twice"
        ),
        pytest.param("sql", "-- A.\nSELECT 1", "cannot name a query", id="the name of a command"),
        pytest.param("X_y", "-- A.\nSELECT 1", "cannot name a query", id="another form of name"),
    ],
)
def test_a_file_that_does_not_say_what_it_must_is_refused(name: str, text: str, why: str):
    with pytest.raises(CatalogueError, match=rf"^{name}\.sql: .*{re.escape(why)}"):
        query_from(name, text)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        pytest.param("deneid", "denied", id="swapped letters"),
        pytest.param("accessed", "who-accessed", id="a part of it"),
        pytest.param("offhours", "off-hours", id="no hyphen"),
    ],
)
def test_a_name_that_is_nearly_right_is_understood(typed: str, meant: str):
    assert meant in catalogue.near(typed, QUERIES)


@pytest.mark.parametrize("typed", ["", "zzzzzz"])
def test_a_name_that_is_like_none_gets_no_guess(typed: str):
    assert [] == catalogue.near(typed, QUERIES)
