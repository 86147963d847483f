"""Where an INSERT's data begin."""

from __future__ import annotations

import pytest

from chserver.statement import Insert, insert_of, leading


@pytest.mark.parametrize(
    ("text", "statement", "data"),
    [
        pytest.param(b"INSERT INTO t FORMAT CSV\n1,2", b"INSERT INTO t FORMAT CSV", b"1,2", id="line end"),
        pytest.param(b"insert into t format CSV 1,2", b"insert into t format CSV", b"1,2", id="a blank"),
        pytest.param(
            b"INSERT INTO t FORMAT CSV\r\n\n1", b"INSERT INTO t FORMAT CSV", b"\n1", id="one line end only"
        ),
        pytest.param(
            b"INSERT INTO t FORMAT Native\n\x00'\xff(",
            b"INSERT INTO t FORMAT Native",
            b"\x00'\xff(",
            id="binary",
        ),
        pytest.param(b"INSERT INTO t FORMAT Native\n", b"INSERT INTO t FORMAT Native", b"", id="no data yet"),
        pytest.param(
            b"INSERT INTO d.`format` (a, `values`) SETTINGS x='FORMAT y' FORMAT TSV\n1",
            b"INSERT INTO d.`format` (a, `values`) SETTINGS x='FORMAT y' FORMAT TSV",
            b"1",
            id="the word in quotes",
        ),
        pytest.param(
            b"INSERT INTO format FORMAT TSV\n1",
            b"INSERT INTO format FORMAT TSV",
            b"1",
            id="a table named format",
        ),
        pytest.param(
            b"INSERT INTO t VALUES (1), (2)", b"INSERT INTO t FORMAT Values", b"(1), (2)", id="values"
        ),
        pytest.param(
            b"INSERT INTO t(a)VALUES('FORMAT x')",
            b"INSERT INTO t(a)FORMAT Values",
            b"('FORMAT x')",
            id="no blanks",
        ),
        pytest.param(
            b"-- FORMAT a\n/* FORMAT b */ INSERT /**/ INTO t FORMAT CSV\n1",
            b"-- FORMAT a\n/* FORMAT b */ INSERT /**/ INTO t FORMAT CSV",
            b"1",
            id="comments",
        ),
        pytest.param(
            b"INSERT INTO FUNCTION file('x', CSV) FORMAT CSV\n1",
            b"INSERT INTO FUNCTION file('x', CSV) FORMAT CSV",
            b"1",
            id="into a function",
        ),
    ],
)
def test_data_begin_behind_the_format_and_one_line_end(text: bytes, statement: bytes, data: bytes) -> None:
    found = insert_of(text)

    assert Insert(statement, len(text) - len(data)) == found


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"SELECT 1 FORMAT CSV", id="select"),
        pytest.param(b"INSERT INTO t SELECT 1 FORMAT CSV", id="insert select"),
        pytest.param(b"INSERT INTO t WITH x AS (SELECT 1) SELECT * FROM x", id="insert with"),
        pytest.param(b"INSERT INTO t FROM INFILE 'x' FORMAT CSV", id="insert from a file"),
        pytest.param(b"CREATE TABLE t (x String DEFAULT 'INSERT INTO t FORMAT CSV')", id="create"),
        pytest.param(b"INSERT INTO t (a", id="cut off"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xff\xfe", id="no text"),
    ],
)
def test_other_statements_carry_no_data(text: bytes) -> None:
    assert insert_of(text) is None


def test_leading_words_are_read_past_comments_and_stop_at_what_is_no_word() -> None:
    words, ends = leading(b"-- x\n show /* y */ Create `t`", 4)

    assert ["SHOW", "CREATE"] == words
    assert b"`t`" == b"-- x\n show /* y */ Create `t`"[ends[-1] + 1 :]
