"""`gateledger audit …` as it is typed, against the real engine."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from gateledger.cli.audit import audit, queries

if TYPE_CHECKING:
    from click.testing import Result

    from tests.integration.audit.conftest import Ledger

WINDOW = ("--since", "2026-11-19T12:00:00Z", "--until", "2026-11-20T12:00:00Z")
HOSTILE = "=cmd\x1b]0;owned\x07\r\nx"


@pytest.fixture
def typed(ledger: Ledger, tmp_path, monkeypatch):
    """Runs `gateledger audit` with these words, in an empty directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GATELEDGER_CLICKHOUSE__URL", ledger.server.url)

    def run(*words: str, **options: str) -> Result:
        return CliRunner().invoke(audit, words, prog_name="gateledger audit", **options)

    return run


def test_denied_shows_the_refusal_as_a_table_and_how_many_there_are(ledger: Ledger, typed):
    ledger.plant("20 09:00", "bob", "deny", reason_code="rule_deny", rule_line=12)

    result = typed("denied", *WINDOW)

    assert 0 == result.exit_code
    header, row = result.stdout.splitlines()
    assert header.split()[:4] == ["time", "subject", "action", "service"]
    assert row.startswith("2026-11-20 09:00:00.000Z  bob")
    assert "1 row, 2026-11-19 12:00:00Z to 2026-11-20 12:00:00Z\n" == result.stderr


def test_json_is_exact_and_alone_on_standard_output(ledger: Ledger, typed):
    ledger.plant("20 09:00:01.5", HOSTILE, "deny", rule_line=12, client_address="2001:db8::1")

    result = typed("denied", *WINDOW, "--format", "json")

    (row,) = json.loads(result.stdout)
    assert "" == result.stderr
    assert HOSTILE == row["subject"]
    assert "2026-11-20T09:00:01.500000Z" == row["time"]
    assert 12 == row["rule_line"]
    assert "2001:db8::1" == row["client_address"]


def test_csv_is_harmless_in_a_spreadsheet_and_on_a_terminal(ledger: Ledger, typed):
    ledger.plant("20 09:00", HOSTILE, "deny")

    result = typed("denied", *WINDOW, "--format", "csv")

    (row,) = csv.DictReader(io.StringIO(result.stdout, newline=""))
    assert "'=cmd\\x1b]0;owned\\x07\\r\\nx" == row["subject"]


def test_an_answer_without_rows_still_has_its_columns(typed):
    header = "reason_code,decision,requests,share,subjects,resources,first_seen,last_seen,last_decision_id\n"

    assert header == typed("denial-reasons", *WINDOW, "--format", "csv").stdout
    assert header.replace(",", "  ") == typed("denial-reasons", *WINDOW).stdout
    assert "[]\n" == typed("denial-reasons", *WINDOW, "--format", "json").stdout
    assert "x\n" == typed("sql", "SELECT number AS x FROM numbers(0);", "--format", "csv").stdout


def test_an_answer_that_is_cut_says_so_in_every_format(ledger: Ledger, typed):
    for minute in range(3):
        ledger.plant(f"20 09:0{minute}")

    results = [
        typed("activity", "--subject", "alice", *WINDOW, "--limit", "2", "--format", form)
        for form in ("table", "json", "csv")
    ]

    assert ["There are more than 2 rows: narrow --since and --until, or raise --limit."] * 3 == [
        result.stderr.splitlines()[-1] for result in results
    ]


@pytest.mark.parametrize("name", sorted(queries()))
def test_every_query_runs_from_the_command_line(typed, name: str):
    required = [one for one in queries()[name].parameters if one.default is None]

    result = typed(name, *(word for one in required for word in (f"--{one.name}", "x")))

    assert 0 == result.exit_code, result.output


def test_sql_answers_any_read_only_query(ledger: Ledger, typed):
    ledger.plant("20 09:00", "o'hara")

    result = typed(
        *("sql", "--param", "who=o'hara", "--param", "since=2026-11-20", "--format", "json"),
        "SELECT subject, count() AS n FROM audit.access_log "
        "WHERE subject = {who:String} AND time >= {since:DateTime64(9, 'UTC')} GROUP BY subject",
    )

    assert [{"subject": "o'hara", "n": 1}] == json.loads(result.stdout)


def test_sql_is_read_from_a_file_or_standard_input(typed, tmp_path):
    (tmp_path / "mine.sql").write_text("-- My own.\nSELECT {x:UInt8} + 1 AS y, {limit:UInt64} AS most;\n")

    from_file = typed("sql", "--file", "mine.sql", "--param", "x=1", "--format", "csv")
    from_input = typed("sql", "--file", "-", "--format", "csv", input="SELECT 2 AS y, 1000 AS most")

    # The runner makes \n of \r\n.
    assert ["y,most\n2,1000\n"] * 2 == [from_file.stdout, from_input.stdout]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        pytest.param(("deneid",), "no query 'deneid'; did you mean denied", id="a name that is nearly right"),
        pytest.param(
            ("zzzzzz",), "no query 'zzzzzz'; `gateledger audit list` names them all", id="a name of nothing"
        ),
        pytest.param(("x\x1b[2J",), r"no query 'x\x1b[2J'", id="a name with controls"),
        pytest.param(("activity",), "Missing option '--subject'", id="a missing parameter"),
        pytest.param(
            ("denied", "--since", "soon"), "--since: 'soon' is no time: write a duration", id="no time"
        ),
        pytest.param(("denied", "--since", "1h", "--until", "2h"), "is not before --until 2h", id="no span"),
        pytest.param(("denied", "--limit", "0"), "'--limit'", id="no rows"),
        pytest.param(
            ("enumeration", "--min-resources", "x"), "--min-resources: 'x' is no whole number", id="no number"
        ),
        pytest.param(("off-hours", "--timezone", "x"), "refused the query: ", id="no time zone"),
        pytest.param(("sql", "selct 1"), "refused the query: ", id="no SQL"),
        pytest.param(("sql",), "give one query", id="nothing to ask"),
        pytest.param(("sql", " "), "the query is empty", id="a blank query"),
        pytest.param(("sql", "SELECT 1", "--file", "-"), "give one query", id="two queries"),
        pytest.param(("sql", "SELECT {x:UInt8}"), "add --param x=VALUE", id="a parameter without value"),
        pytest.param(
            ("sql", "SELECT 1", "--param", "x"), "--param x: write NAME=VALUE", id="a value without name"
        ),
        pytest.param(("sql", "SELECT 1", "--param", "x=1"), "take --param x away", id="a value for nothing"),
        pytest.param(("sql", "DROP TABLE audit.access_log"), "refused the query: ", id="a write"),
        pytest.param(
            ("sql", "SELECT * FROM file('/etc/passwd', 'LineAsString')"), "refused the query: ", id="a file"
        ),
    ],
)
def test_what_cannot_be_asked_is_told_in_a_line_and_exits_2(typed, words: tuple[str, ...], why: str):
    result = typed(*words)

    assert 2 == result.exit_code
    assert "" == result.stdout
    assert why in result.stderr
    assert "Traceback" not in result.stderr
    assert "\x1b" not in result.stderr


def test_a_query_that_is_too_slow_or_too_big_is_told_and_the_next_one_answered(ledger: Ledger, typed):
    result = typed("sql", "SELECT groupArray(number) FROM numbers(10000000000) GROUP BY number % 7")

    assert 2 == result.exit_code
    assert "refused the query: " in result.stderr
    assert 0 == typed("denied").exit_code


def test_a_clickhouse_that_is_not_there_is_named_with_what_to_do(typed, monkeypatch):
    monkeypatch.setenv("GATELEDGER_CLICKHOUSE__URL", "http://127.0.0.1:1")

    result = typed("denied")

    assert 2 == result.exit_code
    assert "Error: ClickHouse does not answer at http://127.0.0.1:1: " in result.stderr
    assert "start it (gateledger up), or set clickhouse.url" in result.stderr
    assert 1 == len(result.stderr.splitlines())
