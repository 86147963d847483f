"""Moments as people write them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from audit.errors import ParameterError
from audit.moment import moment_from, text_of

NOW = datetime(2026, 11, 20, 12, 30, 15, 123456, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("now", "2026-11-20 12:30:15.123456", id="now"),
        pytest.param("90s", "2026-11-20 12:28:45.123456", id="seconds ago"),
        pytest.param("90m", "2026-11-20 11:00:15.123456", id="minutes ago"),
        pytest.param("24h", "2026-11-19 12:30:15.123456", id="hours ago"),
        pytest.param("7d", "2026-11-13 12:30:15.123456", id="days ago"),
        pytest.param("2w", "2026-11-06 12:30:15.123456", id="weeks ago"),
        pytest.param("1d12h", "2026-11-19 00:30:15.123456", id="parts add up"),
        pytest.param("1h1h", "2026-11-20 10:30:15.123456", id="also parts of one kind"),
        pytest.param("0s", "2026-11-20 12:30:15.123456", id="no time ago"),
        pytest.param("2026-11-01", "2026-11-01 00:00:00.000000", id="a date is its midnight, UTC"),
        pytest.param("2026-11-01T08:00:00", "2026-11-01 08:00:00.000000", id="without a zone it is UTC"),
        pytest.param("2026-11-01 08:00", "2026-11-01 08:00:00.000000", id="a blank for the T"),
        pytest.param("2026-11-01T08:00:00.25Z", "2026-11-01 08:00:00.250000", id="Z and a fraction"),
        pytest.param("2026-11-01T08:00:00+01:00", "2026-11-01 07:00:00.000000", id="another zone"),
        pytest.param(" 2026-11-01 ", "2026-11-01 00:00:00.000000", id="blanks around it"),
    ],
)
def test_a_moment_is_a_duration_ago_or_an_iso_time(text: str, expected: str):
    assert expected == text_of(moment_from(text, NOW))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("yesterday", id="a word"),
        pytest.param("3x", id="no such unit"),
        pytest.param("-1h", id="a negative duration"),
        pytest.param("1.5h", id="a fraction of a duration"),
        pytest.param("24", id="no unit"),
        pytest.param("٣h", id="other digits"),
        pytest.param("2026-13-01", id="no such month"),
        pytest.param("99999999999999999999d", id="longer than there is time"),
        pytest.param("0001-01-01T00:00:00+23:00", id="before all time"),
    ],
)
def test_what_is_no_time_is_refused_with_what_to_write(text: str):
    with pytest.raises(ParameterError, match="is no time: write a duration before now"):
        moment_from(text, NOW)


@pytest.mark.parametrize("text", ["1969-12-31", "30000d", "2200-01-02"])
def test_times_that_clickhouse_cannot_hold_are_refused(text: str):
    with pytest.raises(ParameterError, match="is out of range: times lie between 1970 and 2200"):
        moment_from(text, NOW)
