"""The policy CSV, read strictly: rows with their line numbers; every oddity is a finding.

A field is plain or quoted. Plain fields are split as Casbin splits them (a comma inside () or []
belongs to the field); quoted fields are CSV's ("a, b", "" for a quote), which Casbin does not
know: each is remarked. Comments stand on lines of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from extauthz.engine.finding import Report

_SPECIAL = frozenset('()[]"#')
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


def rows(text: str, report: Report) -> list[Row]:
    """All rows of a policy. Lines that cannot be read become findings and are left out."""
    found = []
    for number, line in enumerate(text.split("\n"), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        try:
            ptype, *fields = _fields(stripped)
        except _Unreadable as error:
            report.error(number, error.code, str(error))
            continue
        if '"' in stripped:
            report.warning(
                number, "quoted", "Casbin's own loaders keep the quotes and split at commas between them"
            )
        found.append(Row(number, ptype, tuple(fields), stripped))
    return found


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
