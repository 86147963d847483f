"""The policy CSV, read strictly: rows with their line numbers; every oddity is a finding.

A field is plain or quoted. Plain fields are split as Casbin splits them (a comma inside () or []
belongs to the field); quoted fields are CSV's ("a, b", "" for a quote), which Casbin does not
know: each is remarked. Comments stand on lines of their own.
"""

from __future__ import annotations

import sys
from array import array
from dataclasses import dataclass
from dataclasses import field as entry
from typing import TYPE_CHECKING

from extauthz.engine.memory import drain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from extauthz.engine.finding import Report

_SPECIAL = frozenset('()[]"#')
# What a block of lines must not hold to be split at its commas without a second look.
_ODD = (*_SPECIAL, "\t", "\r", "  ", " ,", " \n", "\n ")
# Small, so that a comment costs only its neighbours the short way.
_BLOCK = 4096
# Casbin takes seconds for each look at a pattern of some 20,000 characters; no path is as long.
_LONGEST = 4500
# Texts that are remembered to be one object where they come again; a larger dict halts everything when it grows.
_POOLED = 40_000
_OPENING = {"(": ")", "[": "]"}


@dataclass(frozen=True, slots=True)
class Row:
    """One rule of the policy: `ptype` (p, g, …), its fields, and the line as it stands in the file."""

    line: int
    ptype: str
    fields: tuple[str, ...]
    text: str


class _Unreadable(Exception):  # noqa: N818 - never leaves this module
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(slots=True)
class Table:
    """Rows in columns, for policies of a million rows: `records` hold the fields behind the ptypes.

    `lines` count from 1, `texts` are the lines as written.
    """

    ptypes: list[str] = entry(default_factory=list)
    records: list[tuple[str, ...]] = entry(default_factory=list)
    lines: array[int] = entry(default_factory=lambda: array("L"))
    texts: list[str] = entry(default_factory=list)

    def __len__(self) -> int:
        return len(self.records)


def table_of(text: str, report: Report) -> Table:
    """All rows of a policy. Lines that cannot be read become findings and are left out."""
    reader = _Reader(Table(), report)
    for block in _blocks(text):
        if len(block) <= _LONGEST and _is_plain(block):
            reader.take_plain(block)
        else:
            reader.take_odd(block)
        if len(reader.pool) > _POOLED:
            reader.pool = _often(reader.pool)
    drain(reader.pool)
    return reader.table


def _often(pool: dict[str, str]) -> dict[str, str]:
    """The texts that came most often, half of the pool at the most: roles and services, hardly a path."""
    # In loops of Python's own: one long call would hold the interpreter.
    counts: dict[int, int] = {}
    for text in pool:
        count = sys.getrefcount(text)
        counts[count] = counts.get(count, 0) + 1
    room, least = _POOLED // 2, sys.maxsize
    for count in sorted(counts, reverse=True):
        room -= counts[count]
        if room < 0:
            break
        least = count
    kept = {text: text for text in pool if sys.getrefcount(text) >= least}
    drain(pool)
    return kept


def _blocks(text: str) -> Iterator[str]:
    """Whole lines, some at a time, without the line break at the end of each block."""
    start = 0
    while start <= len(text):
        end = text.find("\n", start + _BLOCK)
        end = len(text) if end < 0 else end
        yield text[start:end]
        start = end + 1


def _is_plain(block: str) -> bool:
    return (
        not any(odd in block for odd in _ODD)
        and block[:1] != " "
        and block[-1:] != " "
        and block.count(", ") in {0, block.count(",")}
        and block.isascii()
        and block.replace("\n", "").isprintable()
    )


@dataclass(slots=True)
class _Reader:
    table: Table
    report: Report
    # Equal texts are one object: it saves most of the memory, and comparing them is comparing addresses.
    pool: dict[str, str] = entry(default_factory=dict)
    number: int = 1

    def take_plain(self, block: str) -> None:
        comma = ", " if ", " in block else ","
        lines = block.split("\n")
        numbers: Iterable[int] = range(self.number, self.number + len(lines))
        self.number += len(lines)
        if "" in lines:
            numbers = [number for number, line in zip(numbers, lines, strict=True) if line]
            lines = [line for line in lines if line]
        self._take_rows(lines, comma)
        self.table.lines.extend(numbers)
        self.table.texts += lines

    def _take_rows(self, lines: list[str], comma: str) -> None:
        table, pooled = self.table, self.pool.setdefault
        columns = _columns(lines, comma)
        if columns:
            ptypes, *fields = columns
            table.ptypes += ptypes
            table.records += zip(*(map(pooled, column, column) for column in fields), strict=True)
            return
        rows = [line.split(comma) for line in lines]
        table.ptypes += [row.pop(0) for row in rows]
        table.records += [tuple(map(pooled, row, row)) for row in rows]

    def take_odd(self, block: str) -> None:
        for line in block.split("\n"):
            stripped = line.strip()
            if stripped and not stripped.startswith("#"):
                self._take_line(stripped)
            self.number += 1

    def _take_line(self, line: str) -> None:
        if len(line) > _LONGEST:
            message = f"a row of {len(line)} characters; {_LONGEST} are the most"
            self.report.error(self.number, "long", message)
            return
        try:
            ptype, *fields = _fields(line)
        except _Unreadable as error:
            self.report.error(self.number, error.code, str(error))
            return
        self.table.ptypes.append(ptype)
        self.table.records.append(tuple(map(self.pool.setdefault, fields, fields)))
        self.table.lines.append(self.number)
        self.table.texts.append(line)
        if '"' in line:
            message = "Casbin's own loaders keep the quotes and split at commas between them"
            self.report.warning(self.number, "quoted", message)


def _columns(lines: list[str], comma: str) -> list[list[str]]:
    """The fields of lines that all have as many, field by field, in a few calls for all of them; else nothing."""
    width = lines[0].count(comma) + 1 if lines else 0
    # A line break between two rows as a field of its own: it is where it should be if all rows are as long.
    cells = f"{comma}\n{comma}".join(lines).split(comma)
    breaks = cells[width :: width + 1].count("\n")
    if width < 2 or len(cells) != (width + 1) * len(lines) - 1 or breaks != len(lines) - 1:
        return []
    return [cells[at :: width + 1] for at in range(width)]


def _fields(line: str) -> list[str]:
    fields = _split(line)
    for field in fields:
        for character in field if not field.isprintable() else "":
            if not character.isprintable():
                raise _Unreadable("control", f"the invisible character U+{ord(character):04X}; remove it")
    return fields


def _split(line: str) -> list[str]:
    if not _SPECIAL.intersection(line):
        return [field.strip() for field in line.split(",")]
    fields = []
    at = 0
    while True:
        value, at = _quoted(line, at) if line[at:].lstrip().startswith('"') else _plain(line, at)
        fields.append(value)
        if at == len(line):
            return fields
        at += 1


def _quoted(line: str, start: int) -> tuple[str, int]:
    """The value of the quoted field at `start`, and where the comma after it (or the end) is."""
    at = line.index('"', start) + 1
    value = ""
    while True:
        end = line.find('"', at)
        if end < 0:
            raise _Unreadable("quotes", "a quote that is never closed")
        value += line[at:end]
        if line[end + 1 : end + 2] != '"':
            break
        value += '"'
        at = end + 2
    comma = line.find(",", end)
    comma = len(line) if comma < 0 else comma
    if line[end + 1 : comma].strip():
        raise _Unreadable("quotes", "text after a closing quote; quote the whole field")
    return value, comma


def _plain(line: str, start: int) -> tuple[str, int]:
    expected: list[str] = []
    at = start
    while at < len(line):
        character = line[at]
        if character in _OPENING:
            expected.append(_OPENING[character])
        elif character in ")]":
            if not expected or expected.pop() != character:
                raise _Unreadable("brackets", f"a {character!r} that closes nothing; quote the field")
        elif character == "," and not expected:
            break
        elif character == '"':
            raise _Unreadable("quotes", "a quote inside a field; quote the whole field")
        elif character == "#":
            raise _Unreadable(
                "comment", "a comment behind a row becomes part of its last field; give it a line of its own"
            )
        at += 1
    if expected:
        raise _Unreadable("brackets", f"a bracket that is never closed ({expected[-1]!r} is missing)")
    return line[start:at].strip(), at
