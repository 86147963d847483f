"""A long window in slices, so that what is compared at once, and the memory for it, has a bound. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from audit.run import Window

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

# Rows of a slice, unless one hour has more: some 100 MiB of ClickHouse's memory.
MOST_ROWS = 1_500_000
_HOUR = timedelta(hours=1)


def slices(window: Window, amounts: Mapping[datetime, int], most: int = MOST_ROWS) -> list[Window]:
    """The window in slices of whole hours, newest first. `amounts`: rows by the start of their hour."""
    parts, until, rows = [], window.until, 0
    for hour in sorted((hour for hour, amount in amounts.items() if amount), reverse=True):
        edge = hour + _HOUR
        if rows and rows + amounts[hour] > most and window.since < edge < until:
            parts.append(Window(edge, until))
            until, rows = edge, 0
        rows += amounts[hour]
    return [*parts, Window(window.since, until)]
