"""Slices of a window: nothing between them, nothing twice, none with more rows than it may have but a single hour."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from audit.run import Window
from audit.slices import slices

NINE = datetime(2026, 11, 20, 9, tzinfo=UTC)


def at(hours: float) -> datetime:
    return NINE + timedelta(hours=hours)


@pytest.mark.parametrize(
    ("amounts", "expected"),
    [
        pytest.param({}, [(0.5, 4.25)], id="no rows"),
        pytest.param({0: 4, 1: 3, 2: 3}, [(0.5, 4.25)], id="as many as there may be"),
        pytest.param({0: 5, 1: 3, 2: 3}, [(1, 4.25), (0.5, 1)], id="one more"),
        pytest.param({1: 99, 4: 1}, [(2, 4.25), (0.5, 2)], id="an hour that is too big stands alone"),
        pytest.param({4: 99, 3: 99, 0: 99}, [(4, 4.25), (1, 4), (0.5, 1)], id="big hours at both ends"),
        pytest.param(
            {2: 10, 1: 0, 0: 1}, [(1, 4.25), (0.5, 1)], id="an empty hour goes with what comes before it"
        ),
    ],
)
def test_a_window_is_cut_at_hours_newest_first(amounts: dict[int, int], expected: list[tuple[float, float]]):
    window = Window(at(0.5), at(4.25))

    found = slices(window, {at(hour): amount for hour, amount in amounts.items()}, most=10)

    assert [Window(at(since), at(until)) for since, until in expected] == found
