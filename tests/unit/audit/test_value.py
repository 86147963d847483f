"""Values of parameters: from a command line's text to what ClickHouse takes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from audit.errors import ParameterError
from audit.value import Value, value_from

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "type_", "expected"),
    [
        pytest.param("a'b\\", "String", "a'b\\", id="text is itself"),
        pytest.param("", "String", "", id="empty text too"),
        pytest.param("x", "LowCardinality(String)", "x", id="text in a dictionary"),
        pytest.param("255", "UInt8", 255, id="the greatest of a type"),
        pytest.param("-128", "Int8", -128, id="the least of a type"),
        pytest.param("18446744073709551615", "UInt64", 2**64 - 1, id="64 bits"),
        pytest.param("7", "Nullable(UInt8)", 7, id="nullable"),
        pytest.param("1.50", "Float64", "1.5", id="a fraction"),
        pytest.param("1e3", "Float64", "1000.0", id="an exponent"),
        pytest.param("Yes", "Bool", "true", id="yes"),
        pytest.param("0", "Bool", "false", id="zero"),
        pytest.param("2026-11-01", "Date", "2026-11-01", id="a date"),
        pytest.param("1h", "DateTime", "2026-11-20 11:00:00", id="seconds"),
        pytest.param("1h", "DateTime64(9, 'UTC')", "2026-11-20 11:00:00.000000", id="finer than seconds"),
        pytest.param("1,2, 3", "Array(UInt8)", [1, 2, 3], id="a list"),
        pytest.param("", "Array(UInt8)", [], id="an empty list"),
        pytest.param("a,b'c", "Array(String)", ["a", "b'c"], id="a list of texts"),
        pytest.param("::1", "IPv6", "::1", id="a type that ClickHouse judges"),
    ],
)
def test_a_value_is_read_by_its_type(text: str, type_: str, expected: Value):
    assert expected == value_from(text, type_, NOW)


@pytest.mark.parametrize(
    ("text", "type_", "why"),
    [
        pytest.param("x", "UInt8", "'x' is no whole number", id="no number"),
        pytest.param("1.5", "UInt8", "'1.5' is no whole number", id="a fraction"),
        pytest.param("256", "UInt8", "'256' is out of range: 0 to 255", id="too great"),
        pytest.param("-1", "UInt64", "out of range: 0 to", id="negative"),
        pytest.param("x", "Float64", "'x' is no number", id="no fraction"),
        pytest.param("nan", "Float64", "'nan' is no finite number", id="not a number"),
        pytest.param("maybe", "Bool", "neither true nor false", id="neither"),
        pytest.param("20.11.2026", "Date", "is no date: write it as 2026-11-20", id="another form of date"),
        pytest.param("3x", "DateTime64(9, 'UTC')", "is no time", id="no time"),
        pytest.param("1,x", "Array(UInt8)", "'x' is no whole number", id="one of a list"),
        pytest.param("\udcff", "String", "is not valid UTF-8", id="bytes that are no text"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_the_reason(text: str, type_: str, why: str):
    with pytest.raises(ParameterError, match=why):
        value_from(text, type_, NOW)
