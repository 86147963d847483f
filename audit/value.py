"""A parameter's value: from the text of a command line to what ClickHouse takes for the type. Pure."""

from __future__ import annotations

import math
import re
from datetime import date
from typing import TYPE_CHECKING

from audit.errors import ParameterError
from audit.moment import moment_from, text_of

if TYPE_CHECKING:
    from datetime import datetime

Value = str | int | list["Value"]

_INTEGER = re.compile(r"(U?)Int(8|16|32|64|128|256)")
_WRAPPED = re.compile(r"(Array|Nullable|LowCardinality)\((.+)\)")
_BOOLS = {"true": "true", "yes": "true", "1": "true", "false": "false", "no": "false", "0": "false"}


def value_from(text: str, type_: str, now: datetime) -> Value:
    """The value for ClickHouse. A type that is not known here goes as it is: ClickHouse judges it.

    Lists are written with commas: 1,2,3. Raises ParameterError.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ParameterError(f"{text!r} is not valid UTF-8") from error
    wrapped = _WRAPPED.fullmatch(type_)
    if wrapped and wrapped[1] == "Array":
        return [value_from(part.strip(), wrapped[2], now) for part in text.split(",") if part.strip()]
    if wrapped:
        return value_from(text, wrapped[2], now)
    integer = _INTEGER.fullmatch(type_)
    if integer:
        return _integer(text, signed=not integer[1], bits=int(integer[2]))
    return _scalar(text, type_.partition("(")[0], now)


def _integer(text: str, *, signed: bool, bits: int) -> int:
    least, most = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    try:
        number = int(text)
    except ValueError as error:
        raise ParameterError(f"{text!r} is no whole number") from error
    if not least <= number <= most:
        raise ParameterError(f"{text!r} is out of range: {least} to {most}")
    return number


def _scalar(text: str, kind: str, now: datetime) -> str:
    if kind in ("DateTime", "DateTime64"):
        moment = text_of(moment_from(text, now))
        return moment if kind == "DateTime64" else moment.partition(".")[0]
    if kind in ("Date", "Date32"):
        return _date(text)
    if kind in ("Float32", "Float64"):
        return _float(text)
    if kind == "Bool":
        return _bool(text)
    return text


def _date(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise ParameterError(f"{text!r} is no date: write it as 2026-11-20") from error


def _float(text: str) -> str:
    try:
        number = float(text)
    except ValueError as error:
        raise ParameterError(f"{text!r} is no number") from error
    if not math.isfinite(number):
        raise ParameterError(f"{text!r} is no finite number")
    return repr(number)


def _bool(text: str) -> str:
    if text.lower() not in _BOOLS:
        raise ParameterError(f"{text!r} is neither true nor false")
    return _BOOLS[text.lower()]
