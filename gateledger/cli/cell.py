"""One value of an answer, in each form that it leaves in. Pure.

JSON is exact: native types, times in ISO 8601 with Z. Tables and CSV are for people and their programs, and
values come from the network: a path or user agent may hold terminal sequences, line ends or a spreadsheet's
formula. So in tables and CSV
 - every character that controls instead of showing (C0, C1, DEL, line and paragraph separators, direction
   marks, zero-width and the like) is written as an escape, \\x1b or \\u202e;
 - in CSV, a text that begins with = + - @ or a full-width form of these gets a ' in front, which spreadsheets
   take as "this is text". Numbers stay numbers.
"""

from __future__ import annotations

import ipaddress
import json
import math
import unicodedata
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

_CONTROL = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")


def printable(text: str) -> str:
    """The text with every character that controls a terminal or hides in one written as an escape."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(character) for character in text)


def json_value(value: Any) -> Any:
    """The value in JSON's own types. What is no number (NaN, infinity) is null."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {_text(key): json_value(inner) for key, inner in value.items()}
    if isinstance(value, Sequence | AbstractSet) and not isinstance(value, bytes | bytearray):
        return [json_value(inner) for inner in value]
    return _text(value)


def csv_text(value: Any) -> str:
    """The value for one CSV field, unquoted. Lists and objects are JSON; nothing is the empty text."""
    shown = table_text(value, exact=True)
    number = isinstance(value, int | float | Decimal)
    return f"'{shown}" if shown.startswith(_FORMULA) and not number else shown


def table_text(value: Any, *, exact: bool = False) -> str:
    """The value for people; with `exact`, numbers and times in full."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime) and not exact:
        return f"{_utc(value):%Y-%m-%d %H:%M:%S}.{_utc(value).microsecond // 1000:03d}Z"
    if isinstance(value, float):
        return repr(value) if exact else f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    plain = json_value(value)
    if isinstance(plain, list) and not exact and all(isinstance(inner, str) for inner in plain):
        return printable(", ".join(plain))
    return printable(plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False))


def _escaped(character: str) -> str:
    if character in _NAMED:
        return _NAMED[character]
    if unicodedata.category(character) not in _CONTROL:
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return _utc(value).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes | bytearray):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, ipaddress.IPv6Address) and value.ipv4_mapped:
        return str(value.ipv4_mapped)
    return str(value)


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
