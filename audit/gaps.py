"""What may be missing from the ledger, by what its three witnesses say of one another.

- Envoy's counters: how many requests it ended, let pass, refused, logged and dropped;
- extauthz's journal: each decision by name;
- audit.access_log: each record.

Invariants; the tests carry their names:

1. A request that is still open, or whose entry Envoy still holds, is not missing.
2. What was removed by retention is not missing.
3. Counters are compared within one start of an Envoy, and so that a request that ends while they are read
   is never taken for a missing one: what is told is certain, and the least that it can be.
4. Every gap names its node, its minute, how many, and the likely cause.

`find` asks ClickHouse; everything else is pure.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any

from audit.loss import cause_of_loss, some_time_after, why_lost
from audit.moment import text_of
from audit.reading import Reading, held_by, open_by
from audit.slices import slices
from audit.witness import by_name, rows_of, span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from clickhouse_connect.driver.client import Client

    from audit import run

# By how much the moments of a reading and of a request's end may be apart: both are taken on one machine.
SLACK = timedelta(milliseconds=250)

NO_RECORD = "decision_without_record"
NO_DECISION = "record_without_decision"
COUNTERS = "counters_disagree"
COLUMNS = ("minute", "envoy_node", "finding", "missing", "cause", "decision_id", "request_id")


@dataclass(frozen=True, slots=True)
class Gap:
    """What one comparison misses, at one Envoy, in one minute. The ids are those of one example."""

    minute: datetime
    envoy_node: str
    finding: str
    missing: int
    cause: str
    decision_id: str = ""
    request_id: str = ""

    @property
    def row(self) -> tuple[Any, ...]:
        return tuple(getattr(self, column) for column in COLUMNS)


@dataclass(frozen=True, slots=True)
class Seen:
    """What fell between two readings, by the ledger's own rows."""

    ends: int = 0
    allows: int = 0
    denials: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """The gaps, and what of the asked window was looked at. `open_requests`: not missing, not yet ended."""

    gaps: tuple[Gap, ...]
    window: run.Window
    open_requests: int
    nodes: tuple[str, ...]

    @property
    def requests_without_record(self) -> int:
        """The least that is missing: two witnesses may speak of the same requests."""
        by_node: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        for gap in self.gaps:
            if gap.finding == NO_RECORD:
                by_node[gap.envoy_node][0] += gap.missing
            elif gap.finding == COUNTERS and gap.cause.startswith(_ENDED):
                by_node[gap.envoy_node][1] += gap.missing
        return sum(max(each) for each in by_node.values())


Marks = dict[tuple[str, datetime, datetime], Seen]

_ENDED = "Envoy ended more requests than there are records"


def find(client: Client, window: run.Window, progress: Callable[[str], None] = lambda _: None) -> Found:
    """Compare the three witnesses. `progress` is told how far it is. Raises what audit.run raises."""
    removed = rows_of(client, "removed", {})[0]["last"]
    if removed and removed >= window.since:
        # The whole second that it was removed up to.
        window = replace(window, since=removed + timedelta(seconds=1))
    if window.since >= window.until:
        return Found((), window, 0, ())
    since = {"since": text_of(window.since)}
    readings = [Reading(**row) for row in rows_of(client, "readings", since)]
    settled = [reading for reading in readings if reading.time < window.until]
    progress(f"comparing {len(settled)} readings of counters")
    slack_us = int(SLACK / timedelta(microseconds=1))
    most, least = (
        _marks(rows_of(client, "counted", {**since, "slack_us": us})) if settled else {}
        for us in (slack_us, -slack_us)
    )
    aside = {
        (row["envoy_node"], row["minute"]): row["entries"] for row in rows_of(client, "set-aside", since)
    }
    sizes = rows_of(client, "sizes", span(window))
    parts = slices(window, {row["hour"]: row["amount"] for row in sizes})
    unrecorded = by_name(client, parts, "unrecorded", "unrecorded-late", progress)
    undecided = by_name(client, parts, "undecided", "undecided-early", progress)
    gaps = (
        *without_record(unrecorded, readings, aside, window.until),
        *without_decision(undecided),
        *disagreements(settled, most, least, window.since, held_by(readings)),
    )
    ordered = sorted(gaps, key=lambda gap: (gap.minute, gap.envoy_node, gap.finding))
    nodes = sorted({reading.envoy_node for reading in readings})
    return Found(tuple(ordered), window, sum(open_by(readings, window.until).values()), tuple(nodes))


def without_record(
    rows: Iterable[Mapping[str, Any]],
    readings: Sequence[Reading],
    aside: Mapping[tuple[str, datetime], int],
    until: datetime,
) -> list[Gap]:
    """Gaps for the rows of completeness/unrecorded.sql, newest first, less what is open or held. Pure."""
    open_, held = open_by(readings, until), held_by(readings)
    gaps = []
    for row in rows:
        node, missing = str(row["envoy_node"]), int(row["missing"])
        for left in (open_, held) if row["may_be_open"] else (held,):
            excused = min(missing, left.get(node, 0))
            missing -= excused
            left[node] = left.get(node, 0) - excused
        if missing:
            cause = cause_of_loss(node, row["minute"], row["last_time"], readings, aside)
            gaps.append(
                Gap(
                    row["minute"],
                    node,
                    NO_RECORD,
                    missing,
                    cause,
                    row["one_decision_id"],
                    row["one_request_id"],
                )
            )
    return gaps


def without_decision(rows: Iterable[Mapping[str, Any]]) -> list[Gap]:
    """Gaps for the rows of completeness/undecided.sql. Pure."""
    return [
        Gap(
            row["minute"],
            row["envoy_node"],
            NO_DECISION,
            row["missing"],
            "extauthz could not write its journal, or not in time, and refused the request for that"
            if row["reason_code"] in {"audit_unavailable", "deadline_exceeded"}
            else "extauthz ended before its journal was on disk, or dropped the entry (gateledger_journal_dropped_total); "
            "extauthz.audit_required prevents both",
            row["one_decision_id"],
            row["one_request_id"],
        )
        for row in rows
    ]


def disagreements(
    readings: Sequence[Reading], most: Marks, least: Marks, since: datetime, held: Mapping[str, int]
) -> list[Gap]:
    """Where counters and rows differ, each Envoy start by itself. Pure.

    `most` and `least`: what the ledger's rows can make of each reading, with the slack on either side.
    """
    gaps = []
    last = {reading.envoy_node: reading.started_at for reading in readings}
    ordered = sorted(readings, key=lambda reading: (*_start(reading), reading.time))
    for (node, started_at), group in groupby(ordered, _start):
        each = list(group)
        # An Envoy that started in the window began at 0; of another only what came after the first look is known.
        base = Reading(node, started_at, started_at)
        if started_at < since:
            base = each[0]
            # As in completeness/counted.sql: nearer ones cannot be told apart from it.
            each = [reading for reading in each if reading.asked_at >= base.time + 2 * SLACK]
        waiting = held.get(node, 0) if last[node] == started_at else 0
        gaps += _too_few(base, each, most, waiting)
        gaps += _too_many(base, each, least)
        gaps += _unjournalled(base, each, most)
    return _merged(gaps)


def _merged(gaps: Iterable[Gap]) -> list[Gap]:
    """One gap for all that one minute misses for one cause, however often the counters were read in it."""
    merged: dict[tuple[datetime, str, str], Gap] = {}
    for gap in gaps:
        key = (gap.minute, gap.envoy_node, gap.cause)
        found = merged.get(key)
        merged[key] = replace(gap, missing=gap.missing + found.missing) if found else gap
    return list(merged.values())


def _start(reading: Reading) -> tuple[str, datetime]:
    return reading.envoy_node, reading.started_at


def _too_few(base: Reading, readings: Sequence[Reading], most: Marks, waiting: int) -> list[Gap]:
    gaps, ends, told, before = [], 0, waiting, base
    for reading in readings:
        ends += _seen(most, reading).ends
        lost = reading.completed - base.completed - ends
        if lost > told:
            cause = f"{_ENDED}: {why_lost(before, reading, some_time_after(readings, reading.time))}"
            gaps.append(_counter_gap(reading, lost - told, cause))
            told, before = lost, reading
    return gaps


def _too_many(base: Reading, readings: Sequence[Reading], least: Marks) -> list[Gap]:
    gaps, ends, told = [], 0, 0
    for reading in readings:
        ends += _seen(least, reading).ends
        extra = ends - (reading.completed - base.completed)
        if extra > told:
            cause = (
                "there are more records than requests that Envoy ended: do two Envoys share this node id, "
                "or did somebody else write to the ledger?"
            )
            gaps.append(_counter_gap(reading, extra - told, cause))
            told = extra
    return gaps


def _unjournalled(base: Reading, readings: Sequence[Reading], most: Marks) -> list[Gap]:
    gaps: list[Gap] = []
    for what, counter, column in (("let pass", "allowed", "allows"), ("refused", "denied", "denials")):
        journalled = told = 0
        for reading in readings:
            journalled += getattr(_seen(most, reading), column)
            lost = getattr(reading, counter) - getattr(base, counter) - journalled
            if lost > told:
                cause = f"Envoy {what} more requests by extauthz's word than extauthz's journal holds"
                gaps.append(_counter_gap(reading, lost - told, cause))
                told = lost
    return gaps


def _counter_gap(reading: Reading, missing: int, cause: str) -> Gap:
    return Gap(reading.time.replace(second=0, microsecond=0), reading.envoy_node, COUNTERS, missing, cause)


def _seen(marks: Marks, reading: Reading) -> Seen:
    return marks.get((reading.envoy_node, reading.started_at, reading.time), Seen())


def _marks(rows: Iterable[Mapping[str, Any]]) -> Marks:
    return {
        (row["envoy_node"], row["started_at"], row["time"]): Seen(row["ends"], row["allows"], row["denials"])
        for row in rows
    }
