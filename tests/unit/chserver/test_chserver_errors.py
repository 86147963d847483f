"""Errors in ClickHouse's form."""

from __future__ import annotations

import pytest

from chserver.errors import from_engine


@pytest.mark.parametrize(
    ("message", "code", "name", "text"),
    [
        pytest.param(
            "Code: 60. DB::Exception: Unknown table 'x'. (UNKNOWN_TABLE)",
            60,
            "UNKNOWN_TABLE",
            "Unknown table 'x'.",
            id="plain",
        ),
        pytest.param(
            "Code: 164. DB::Exception: Code: 164. DB::Exception: No. (READONLY) (version 26.9.2.1). (READONLY)",
            164,
            "READONLY",
            "No.",
            id="said twice",
        ),
        pytest.param(
            "Code: 107. DB::Exception: Code: 107. DB::ErrnoException: Cannot open. (FILE_DOESNT_EXIST) "
            "(version 26.9.2.1). (FILE_DOESNT_EXIST)",
            107,
            "FILE_DOESNT_EXIST",
            "Cannot open.",
            id="from the system",
        ),
        pytest.param("Something else", 1002, "UNKNOWN_EXCEPTION", "Something else", id="no code"),
        pytest.param("Code: 7. DB::Exception: no name", 7, "UNKNOWN", "no name", id="no name"),
    ],
)
def test_the_engines_words_are_taken_apart(message: str, code: int, name: str, text: str) -> None:
    error = from_engine(message)

    assert (code, name, text) == (error.code, error.name, error.message)


def test_the_text_is_clickhouses() -> None:
    error = from_engine("Code: 60. DB::Exception: Unknown table x. (UNKNOWN_TABLE)")

    assert (
        "Code: 60. DB::Exception: Unknown table x. (UNKNOWN_TABLE) (version 26.9.2.1 (embedded))\n"
        == error.text("26.9.2.1")
    )


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (62, 400),
        (164, 403),
        (516, 403),
        (497, 403),
        (60, 404),
        (81, 404),
        (307, 413),
        (48, 501),
        (202, 503),
        (999, 500),
    ],
)
def test_the_status_follows_the_code(code: int, status: int) -> None:
    assert status == from_engine(f"Code: {code}. DB::Exception: x. (X)").status


@pytest.mark.timeout(20)
@pytest.mark.parametrize("piece", [" ", "(AB)", "(version 1", "Code: 1. Exception: ", "(", "(A"])
def test_a_long_message_is_read_at_once(piece: str) -> None:
    error = from_engine(
        f"Code: 62. DB::Exception: Syntax error: {piece * (300_000 // len(piece))}x. (SYNTAX_ERROR)"
    )

    assert (62, "SYNTAX_ERROR") == (error.code, error.name)
