"""The examples of docs/audit.md are what the queries say: each answer there, asked of the same story."""

from __future__ import annotations

import io
import re
import shlex

import pytest
from chserver_process import ROOT

from audit import catalogue, run
from gateledger.cli.output import emit
from tests.integration.audit.conftest import NOON, Ledger
from tests.integration.audit.story import tell

QUERIES = catalogue.load()
PAGE = (ROOT / "docs/audit.md").read_text(encoding="utf-8")
SHOWN = {
    words.split()[0]: (words, answer)
    for words, answer in re.findall(
        r"^```\n\$ gateledger audit ([^\n]+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL
    )
}


@pytest.fixture(scope="module")
def told(filled: Ledger) -> Ledger:
    filled.clear()
    tell(filled)
    return filled


def answer_to(ledger: Ledger, words: str) -> str:
    """What the command prints into a pipe, at noon of the story's last day."""
    name, *options = shlex.split(words)
    given = {
        key.removeprefix("--").replace("-", "_"): value
        for key, value in zip(options[::2], options[1::2], strict=True)
    }
    window = run.window_from(given.pop("since", "24h"), given.pop("until", "now"), NOON)
    limit = int(given.pop("limit", 1000))
    query = QUERIES[name]
    answer = run.ask(ledger.reader, query, window, limit, ledger.values(query, given))
    out = io.StringIO()
    emit(answer.columns, answer.rows, "table", out)
    return out.getvalue()


def test_the_page_shows_an_answer_of_every_query():
    assert list(QUERIES) == sorted(SHOWN)


@pytest.mark.parametrize("name", QUERIES)
def test_the_answer_that_the_page_shows_is_the_one_that_is_given(told: Ledger, name: str):
    words, shown = SHOWN[name]

    assert shown == answer_to(told, words)
    assert shown.count("\n") > 1
