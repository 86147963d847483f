"""The likely cause of a loss, out of what Envoy's counters and the quarantine say around it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from audit.reading import Reading

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Within this an Envoy has sent what it logged, with alslog there.
_DELAY = timedelta(seconds=5)
_MINUTE = timedelta(minutes=1)
_DROPPED = "Envoy dropped entries, its buffer was full (alslog away or too slow)"
BROKEN = "alslog, or the connection to it, ended while entries were under way"


def why_lost(before: Reading, now: Reading, later: Reading) -> str:
    dropped = now.dropped - before.dropped
    unlogged = now.completed - before.completed - (now.written - before.written) - dropped
    if dropped:
        return _DROPPED
    if unlogged > 0:
        return "they were never logged: has a listener no access log to alslog?"
    if later.broken > before.broken:
        return BROKEN
    return "they were logged, but did not arrive, or their records were removed"


def cause_of_loss(
    node: str,
    minute: datetime,
    last_time: datetime,
    readings: Sequence[Reading],
    aside: Mapping[tuple[str, datetime], int],
) -> str:
    own = [reading for reading in readings if reading.envoy_node == node]
    ended = _end_after(own, last_time)
    before, after = _around(own, minute, last_time)
    reasons = (
        (
            ended is not None and not ended.is_long_after(last_time),
            f"Envoy ended before it had sent all that it had logged{_then(ended)}",
        ),
        (
            after.dropped > before.dropped,
            _DROPPED,
        ),
        (
            any(aside.get((node, at)) for at in (minute, minute + _MINUTE)),
            "entries that could not be read are in quarantine, see audit.unparsed",
        ),
        (after.broken > before.broken, BROKEN),
        (not own, "not known: no counters of this Envoy were read; the request may still be open"),
        (ended is not None, f"not known: lost on the way, or still open when its Envoy ended{_then(ended)}"),
    )
    return next(
        (text for holds, text in reasons if holds), "not known: lost on the way, or the record was removed"
    )


def _then(ended: _End | None) -> str:
    return f"; a new one started at {ended.next_at:%H:%M:%S}Z" if ended else ""


@dataclass(frozen=True, slots=True)
class _End:
    """That an Envoy ended: when it was read last, if ever, and when the next one started."""

    read_at: datetime | None
    next_at: datetime

    def is_long_after(self, moment: datetime) -> bool:
        """Whether a decision of that moment should have been told of before the end."""
        return moment < (self.read_at - _DELAY if self.read_at else self.next_at - _MINUTE)


def _end_after(own: Sequence[Reading], moment: datetime) -> _End | None:
    starts = [reading.started_at for reading in own if reading.started_at > moment]
    if not starts:
        return None
    before = [reading.time for reading in own if reading.started_at <= moment]
    return _End(max(before, default=None), min(starts))


def _around(own: Sequence[Reading], minute: datetime, moment: datetime) -> tuple[Reading, Reading]:
    """Readings of the Envoy that ran at that moment: the last before the minute, and one some time after it."""
    started_at = max((reading.started_at for reading in own if reading.started_at <= moment), default=None)
    if started_at is None:
        nothing = Reading("", moment, moment)
        return nothing, nothing
    same = [reading for reading in own if reading.started_at == started_at]
    earlier = [reading for reading in same if reading.time < minute]
    before = earlier[-1] if earlier else Reading(same[0].envoy_node, started_at, started_at)
    return before, some_time_after(same, minute + _MINUTE)


def some_time_after(same: Sequence[Reading], moment: datetime) -> Reading:
    """A break shows in the counters some time after what it took."""
    return next((reading for reading in same if reading.time >= moment + _MINUTE), same[-1])
