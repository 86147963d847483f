"""Moments as people write them: 24h (ago), now, 2026-11-20, 2026-11-20T08:00:00+01:00. Pure; `now` comes in."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from audit.errors import ParameterError

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DURATION = re.compile(r"(?:\d+[smhdw])+", re.ASCII)
_PART = re.compile(r"(\d+)([smhdw])", re.ASCII)

# Within what ClickHouse's DateTime64(9) holds, with room for the windows that queries compute.
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = datetime(2200, 1, 1, tzinfo=UTC)


def moment_from(text: str, now: datetime) -> datetime:
    """The moment in UTC. A duration counts back from `now`; a time without a zone is UTC.

    Raises ParameterError.
    """
    try:
        moment = _parsed(text.strip(), now)
    except (ValueError, OverflowError) as error:
        raise ParameterError(
            f"{text!r} is no time: write a duration before now (90m, 24h, 7d), "
            "a date (2026-11-20) or a time (2026-11-20T08:00:00Z; UTC unless it says otherwise)"
        ) from error
    if not _FIRST <= moment <= _LAST:
        raise ParameterError(f"{text!r} is out of range: times lie between {_FIRST:%Y} and {_LAST:%Y}")
    return moment


def _parsed(text: str, now: datetime) -> datetime:
    if text == "now":
        return now
    if _DURATION.fullmatch(text):
        parts: dict[str, int] = {}
        for number, unit in _PART.findall(text):
            parts[_UNITS[unit]] = parts.get(_UNITS[unit], 0) + int(number)
        return now - timedelta(**parts)
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def text_of(moment: datetime) -> str:
    """The moment as ClickHouse reads it for a DateTime64(9, 'UTC'), to the microsecond."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"
