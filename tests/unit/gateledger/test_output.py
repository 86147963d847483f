"""How rows come out: exact as JSON, harmless as CSV, whole as a table."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from ipaddress import ip_address
from typing import Any
from uuid import UUID

import pytest

from gateledger.cli.cell import csv_text, json_value, printable, table_text
from gateledger.cli.output import emit

MOMENT = datetime(2026, 11, 20, 9, 30, 1, 123456, tzinfo=UTC)
HOSTILE = "a\x1b[31m\x07\x7f\x9b\r\n\u202e\u200b\u2028z"
ESCAPED = "a\\x1b[31m\\x07\\x7f\\x9b\\r\\n\\u202e\\u200b\\u2028z"


class Terminal(io.StringIO):
    """A stream that says it is a terminal; rich takes its width from COLUMNS."""

    def isatty(self) -> bool:
        return True


def written(
    columns: list[str], rows: list[tuple[Any, ...]], format_: str, stream: io.StringIO | None = None
) -> str:
    out = stream or io.StringIO(newline="")
    emit(columns, rows, format_, out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(None, None, id="nothing"),
        pytest.param(7, 7, id="a whole number"),
        pytest.param(2**64 - 1, 2**64 - 1, id="a great one"),
        pytest.param(0.5, 0.5, id="a fraction"),
        pytest.param(float("nan"), None, id="not a number"),
        pytest.param(float("-inf"), None, id="infinity"),
        pytest.param(True, True, id="a truth"),
        pytest.param(HOSTILE, HOSTILE, id="text is exact"),
        pytest.param(MOMENT, "2026-11-20T09:30:01.123456Z", id="a moment"),
        pytest.param(datetime(2026, 11, 20, 9), "2026-11-20T09:00:00Z", id="a moment without a zone is UTC"),  # noqa: DTZ001
        pytest.param(
            datetime(2026, 11, 20, 9, tzinfo=timezone(timedelta(hours=1))),
            "2026-11-20T08:00:00Z",
            id="another zone",
        ),
        pytest.param(date(2026, 11, 20), "2026-11-20", id="a day"),
        pytest.param(["a", MOMENT], ["a", "2026-11-20T09:30:01.123456Z"], id="a list"),
        pytest.param(("a", 1), ["a", 1], id="a tuple"),
        pytest.param({"k": float("nan")}, {"k": None}, id="an object"),
        pytest.param(ip_address("::ffff:10.0.0.1"), "10.0.0.1", id="an IPv4 address in IPv6"),
        pytest.param(ip_address("2001:db8::1"), "2001:db8::1", id="an IPv6 address"),
        pytest.param(UUID(int=1), "00000000-0000-0000-0000-000000000001", id="a UUID"),
        pytest.param(Decimal("1.50"), "1.50", id="a decimal keeps its digits"),
        pytest.param(b"a\xff", "a\\xff", id="bytes"),
    ],
)
def test_json_has_native_types_and_exact_text(value: object, expected: object):
    assert expected == json_value(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("plain", "plain", id="text"),
        pytest.param("Zoë 日本 🙂", "Zoë 日本 🙂", id="letters of all scripts"),
        pytest.param(HOSTILE, ESCAPED, id="controls"),
        pytest.param("a\\x1b", "a\\x1b", id="a backslash stays"),
        pytest.param("\U000e0041", "\\U000e0041", id="an invisible tag"),
        pytest.param("\ud800", "\\ud800", id="half a character"),
    ],
)
def test_printable_text_controls_nothing(value: str, expected: str):
    assert expected == printable(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("=1+1", "'=1+1", id="a formula"),
        pytest.param("+1", "'+1", id="plus"),
        pytest.param("-1", "'-1", id="minus in text"),
        pytest.param("@SUM(A1)", "'@SUM(A1)", id="at"),
        pytest.param("\uff1d1", "'\uff1d1", id="a full-width form"),
        pytest.param("\t=1", "\\t=1", id="behind a tab"),
        pytest.param("a=1", "a=1", id="further on it is harmless"),
        pytest.param(-1, "-1", id="a number stays one"),
        pytest.param(-0.5, "-0.5", id="a fraction stays one"),
        pytest.param(Decimal("-1.5"), "-1.5", id="a decimal stays one"),
        pytest.param(b"=1", "'=1", id="bytes"),
        pytest.param(None, "", id="nothing"),
        pytest.param(["=a"], '["=a"]', id="a list is JSON"),
        pytest.param(MOMENT, "2026-11-20T09:30:01.123456Z", id="a moment in full"),
        pytest.param(1 / 3, "0.3333333333333333", id="a fraction in full"),
        pytest.param(False, "false", id="a truth"),
    ],
)
def test_csv_text_is_no_formula(value: object, expected: str):
    assert expected == csv_text(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(MOMENT, "2026-11-20 09:30:01.123Z", id="a moment to the millisecond"),
        pytest.param(1 / 3, "0.3333", id="a fraction"),
        pytest.param(0.00012345, "0.0001234", id="a small one"),
        pytest.param(12345678.9, "12345679", id="a great one"),
        pytest.param(float("inf"), "", id="no number"),
        pytest.param(["a", "b\x1b"], "a, b\\x1b", id="a list of texts"),
        pytest.param([], "", id="an empty list"),
        pytest.param([1, None], "[1, null]", id="another list"),
    ],
)
def test_table_text_is_for_people(value: object, expected: str):
    assert expected == table_text(value)


def test_json_is_a_list_of_objects_in_ascii():
    out = written(["a", "b"], [("\x1b\x7fë", 1), (None, 2)], "json")

    assert out.isascii()
    assert "\x1b" not in out
    assert "\x7f" not in out
    assert [{"a": "\x1b\x7fë", "b": 1}, {"a": None, "b": 2}] == json.loads(out)


def test_json_without_rows_is_an_empty_list():
    assert "[]\n" == written(["a"], [], "json")


def test_json_loses_no_column_of_a_name_that_comes_twice():
    assert [{"1": 1, "1_2": 2, "1_3": 3}] == json.loads(written(["1", "1", "1"], [(1, 2, 3)], "json"))


def test_csv_follows_rfc_4180():
    out = written(["a", "b"], [('x,"y"', 1), ("line\nend", None)], "csv")

    assert 'a,b\r\n"x,""y""",1\r\nline\\nend,\r\n' == out
    assert [["a", "b"], ['x,"y"', "1"], ["line\\nend", ""]] == list(csv.reader(io.StringIO(out, newline="")))


def test_csv_without_rows_still_names_its_columns():
    assert "a,b\r\n" == written(["a", "b"], [], "csv")


def test_a_table_in_a_pipe_is_one_whole_line_a_row():
    out = written(["name", "n", "last"], [("x" * 300, 7, "z"), ("日本", 12, None)], "table")

    assert [
        "name" + " " * 296 + "   n  last",
        "x" * 300 + "   7  z",
        "日本" + " " * 296 + "  12",
    ] == out.splitlines()


def test_a_table_without_rows_is_its_header():
    assert "a  b\n" == written(["a", "b"], [], "table")


def test_a_table_on_a_wide_terminal_has_a_line_a_row(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("NO_COLOR", "1")

    out = written(["name", "n"], [("[red]x[/red]", 7)], "table", Terminal())

    assert ["[red]x[/red]", "7"] == out.splitlines()[-1].split()


def test_a_table_on_a_narrow_terminal_has_a_block_a_row_and_loses_nothing(monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    rows = [("x" * 50, "[bold]"), ("y", "z")]

    lines = written(["long", "b"], rows, "table", Terminal()).splitlines()

    assert all(len(line.replace("\x1b[1m", "").replace("\x1b[0m", "")) <= 40 for line in lines)
    assert 50 == sum(line.count("x") for line in lines)
    assert any("[bold]" in line for line in lines)


@pytest.mark.parametrize("format_", ["table", "csv", "json"])
@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_no_form_lets_a_value_control_the_terminal(monkeypatch, format_: str, stream: type[io.StringIO]):
    monkeypatch.setenv("TERM", "dumb")

    out = written([HOSTILE], [(HOSTILE,)], format_, stream())

    assert set() == set("\x1b\x07\x7f\x9b\u202e\u200b\u2028") & set(out)


def test_a_stream_that_cannot_hold_a_letter_gets_its_code():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", newline="")

    emit(["a"], [("日",)], "table", stream)

    assert b"a\n\\u65e5\n" == raw.getvalue()
