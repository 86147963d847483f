"""Where a statement ends and its data begin, when both stand in one body. Pure.

Reading stops at the data, which may be binary. What the statement means is the engine's to say.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_TOKEN = re.compile(
    rb"""(?P<space>[\s\x00]+|--[^\n]*|\#[ !][^\n]*|/\*.*?\*/)
    |(?P<text>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"|`(?:[^`\\]|\\.|``)*`|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
    |(?P<word>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<other>.)""",
    re.DOTALL | re.VERBOSE,
)
_OPEN, _CLOSE = b"([{", b")]}"


@dataclass(frozen=True, slots=True)
class Insert:
    """An INSERT that carries data. `statement` ends with FORMAT and a name; the data follow at `data_at`."""

    statement: bytes
    data_at: int


def insert_of(text: bytes) -> Insert | None:
    """The INSERT at the start of `text` and where its data begin; None for every other statement."""
    depth, words, previous = 0, 0, b""
    for token in _TOKEN.finditer(text):
        kind, piece = token.lastgroup, token[0]
        if kind == "space":
            continue
        depth += (piece in _OPEN) - (piece in _CLOSE) if kind == "other" else 0
        word = piece.upper() if kind == "word" and depth == 0 else b""
        words += 1
        if words == 1 and word != b"INSERT":
            return None
        # The third token at the least: INSERT INTO format FORMAT CSV names a table `format`.
        if words > 3:
            if word in {b"SELECT", b"WITH", b"FROM", b"EXPLAIN"}:
                return None
            if previous == b"FORMAT":
                return Insert(text[: token.end()], _after(text, token.end()))
            if word == b"VALUES":
                return Insert(text[: token.start()] + b"FORMAT Values", _after(text, token.end()))
        previous = word if words > 3 or word != b"FORMAT" else b""
    return None


def _after(text: bytes, end: int) -> int:
    """Data begin behind blanks and one line end, as ClickHouse has it."""
    while text[end : end + 1] in {b" ", b"\t", b"\f"}:
        end += 1
    if text[end : end + 1] == b"\r":
        end += 1
    return end + (text[end : end + 1] == b"\n")


def leading(text: bytes, count: int) -> tuple[list[str], list[int]]:
    """The first words, at most `count`, in capitals, and where each ends. Stops at what is no word."""
    words: list[str] = []
    ends: list[int] = []
    for token in _TOKEN.finditer(text):
        if token.lastgroup == "space":
            continue
        if token.lastgroup != "word" or len(words) == count:
            break
        words.append(token[0].decode().upper())
        ends.append(token.end())
    return words, ends
