"""Slices of what is verified at once: all of it, in order, bounded."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from ledger.verify import slices

SINCE = datetime(2026, 1, 1, tzinfo=UTC)
UNTIL = SINCE + timedelta(seconds=100)


@given(st.dictionaries(st.integers(0, 99), st.integers(0, 30)))
def test_each_second_is_in_one_slice_and_none_is_larger_than_it_must_be(amounts: dict[int, int]) -> None:
    by_second = {SINCE + timedelta(seconds=second): rows for second, rows in amounts.items()}

    parts = list(slices(by_second, SINCE, UNTIL, most=40))

    for second in by_second:
        assert sum(begin <= second < end for begin, end in parts) == 1
    for begin, end in parts:
        rows = [count for second, count in by_second.items() if begin <= second < end]
        assert sum(rows) <= 40 or len(rows) == 1
    assert parts == sorted(parts)


def test_the_first_and_the_last_second_end_where_the_window_does() -> None:
    since, until = SINCE + timedelta(milliseconds=300), SINCE + timedelta(milliseconds=1700)

    assert list(slices({SINCE: 1, SINCE + timedelta(seconds=1): 1}, since, until)) == [(since, until)]
