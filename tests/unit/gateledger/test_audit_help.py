"""The help of `gateledger audit` teaches: every query's page says what it answers, for whom and how."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from gateledger.cli.audit import audit, queries


def told(*words: str) -> str:
    result = CliRunner().invoke(audit, words, prog_name="gateledger audit", terminal_width=200)

    assert 0 == result.exit_code, result.output
    return result.stdout


def test_the_group_lists_every_query_beside_its_own_commands():
    page = told("--help")

    assert [] == [name for name in (*queries(), "list", "sql") if f"\n  {name} " not in page]


@pytest.mark.parametrize("name", sorted(queries()))
def test_a_querys_page_has_its_description_controls_parameters_and_example(name: str):
    query = queries()[name]

    page = " ".join(told(name, "--help").split())

    options = [f"--{one.name.replace('_', '-')} " for one in query.parameters]
    said = (query.description, *query.questions, *query.controls, *query.notes, *query.examples, *options)
    assert [] == [words for words in said if words not in page]
    assert [] == [
        option for option in ("--since", "--until", "--limit", "--format", "--config") if option not in page
    ]


def test_defaults_are_shown_also_those_that_are_settings():
    page = " ".join(told("off-hours", "--help").split())

    assert "Default: the setting audit.timezone." in page
    assert "Default: 8." in page


def test_list_names_every_query_with_its_description():
    lines = told("list").splitlines()

    assert [(name, query.description) for name, query in queries().items()] == [
        tuple(line.split(maxsplit=1)) for line in lines[1:]
    ]


def test_list_as_json_has_parameters_and_controls():
    (denied,) = (one for one in json.loads(told("list", "--format", "json")) if one["query"] == "denied")

    assert ["--subject", "--service"] == denied["parameters"]
    assert "PCI DSS 10.2.1.4 (invalid logical access attempts)" in denied["controls"]
