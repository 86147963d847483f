"""docs/audit.md and the queries are equal: names, columns, options, controls, and the example of one's own."""

from __future__ import annotations

import re

import pytest
from chserver_process import ROOT

from audit import catalogue
from audit.run import ask, ask_sql
from tests.integration.audit.conftest import DAY, NOON, Ledger

QUERIES = catalogue.load()
PAGE = (ROOT / "docs/audit.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^### ([a-z-]+)\n(.*?)(?=^##)", PAGE, re.MULTILINE | re.DOTALL))
REQUIRED = {"resource": "/orders/1", "subject": "alice"}


def columns_of(ledger: Ledger, name: str) -> tuple[str, ...]:
    values = {one.name: REQUIRED[one.name] for one in QUERIES[name].parameters if one.default is None}
    query = QUERIES[name]
    return ask(ledger.reader, query, DAY, 1, ledger.values(query, values)).columns


@pytest.mark.parametrize("name", QUERIES)
def test_columns_are_those_that_the_page_promises(ledger: Ledger, name: str):
    (promised,) = re.findall(r"^Columns: (.*)$", SECTIONS[name], re.MULTILINE)

    assert tuple(promised.split(", ")) == columns_of(ledger, name)


def test_the_page_has_a_section_for_every_query_and_none_for_another():
    assert list(QUERIES) == sorted(SECTIONS)


@pytest.mark.parametrize("name", QUERIES)
def test_every_query_is_named_by_a_question_and_has_an_example(name: str):
    table = PAGE.partition("### SOC 2")[0]

    assert f"| `{name}` |" in table
    assert f"gateledger audit {name} " in SECTIONS[name]


def test_every_example_uses_options_that_its_query_has():
    examples = re.findall(r"^gateledger audit ([a-z-]+)(.*)$", PAGE, re.MULTILINE)
    used = {(name, option) for name, words in examples for option in re.findall(r"--([a-z-]+)", words)}
    common = {"since", "until", "limit", "format", "config", "help", "file", "param"}
    known = {
        (name, one.name.replace("_", "-")) for name, query in QUERIES.items() for one in query.parameters
    }

    assert set() == {(name, option) for name, option in used if option not in common} - known


def test_the_shortest_query_of_ones_own_is_accepted_and_answers(ledger: Ledger):
    (text,) = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
    ledger.plant("20 09:00")

    query = catalogue.query_from("by-day", text)
    answer = ask(ledger.reader, query, DAY, 10, ledger.values(query, {"who": "alice"}))

    assert [1] == [requests for _, requests in answer.rows]


def test_the_sql_of_ones_own_answers(ledger: Ledger):
    (sql,) = re.findall(r'sql --param who=alice \\\n  "(.*?)"', PAGE, re.DOTALL)
    ledger.plant("20 09:00")

    answer = ask_sql(ledger.reader, sql, {"who": "alice", "since": "24h"}, NOON)

    assert [1] == [requests for _, requests in answer.rows]
