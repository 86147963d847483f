"""Are the rows still what they were when they were booked? audit.batches against the rows, batch by batch.

- A batch of which rows are gone, doubled, added or changed is told, with how many were booked and are there.
- Rows of a batch that was never booked are told.
- What retention removed is not missing; audit.removals says it.

Who can write can change rows and books alike: that no digest tells. `gateledger audit gaps` may, by other witnesses.

`slices`, `compared` are pure; `find` asks ClickHouse.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ledger import digest
from ledger.target import TARGETS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from clickhouse_connect.driver.client import Client

COLUMNS = ("received_at", "batch", "kind", "envoy_node", "finding", "booked_rows", "found_rows")
MISSING = "rows_missing"
ADDED = "rows_added"
CHANGED = "rows_changed"
NOT_BOOKED = "not_booked"

# Rows digested at once: some 100 MiB of ClickHouse's memory.
_SLICE_ROWS = 500_000
_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)
_SPAN = (
    "received_at >= fromUnixTimestamp64Micro({since_us:Int64}, 'UTC') "
    "AND received_at < fromUnixTimestamp64Micro({until_us:Int64}, 'UTC')"
)
# By second, so that a slice ends between two batches: a batch has one received_at.
_AMOUNTS = """
SELECT intDiv(toUnixTimestamp64Micro(received_at), 1000000) AS second, count() AS amount
FROM {table} WHERE {span} GROUP BY second
UNION ALL
SELECT intDiv(toUnixTimestamp64Micro(received_at), 1000000) AS second, 0 AS amount
FROM audit.batches WHERE {span} GROUP BY second
"""
_ROWS = """
SELECT batch, any(envoy_node), min(received_at), count(), uniqExact(batch_row), max(batch_row), {digest}
FROM {table} WHERE {span} GROUP BY batch
"""
_BOOKED = """
SELECT batch, any(envoy_node), any(received_at), any(rows), any(kind), any(rows_digest), any(digest_version)
FROM audit.batches WHERE {span} AND kind IN {{kinds:Array(String)}} GROUP BY batch
"""
# A removal that has begun may be done already, and not booked yet: it may even be cut off in between.
_REMOVED = """
SELECT DISTINCT partition FROM audit.removals
WHERE action IN ('begun', 'dropped') AND table_name = {table:String}
"""


class UnknownDigestError(Exception):
    """Batches that a newer version digested. The message says what to do."""


@dataclass(frozen=True, slots=True)
class Booked:
    """A batch as audit.batches has it."""

    envoy_node: str
    received_at: datetime
    rows: int
    kind: str
    digest: str
    version: int


@dataclass(frozen=True, slots=True)
class Held:
    """A batch as its rows are. `numbers`: how many numbers they have; `greatest`: the greatest, from 0."""

    envoy_node: str
    received_at: datetime
    rows: int
    numbers: int
    greatest: int
    digest: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A batch that is not as it was booked; the fields are COLUMNS."""

    received_at: datetime
    batch: str
    kind: str
    envoy_node: str
    finding: str
    booked_rows: int
    found_rows: int

    @property
    def row(self) -> tuple[Any, ...]:
        return tuple(getattr(self, column) for column in COLUMNS)


@dataclass(frozen=True, slots=True)
class Verified:
    """What was looked at, and what is not as it was booked."""

    findings: tuple[Finding, ...]
    batches: int
    rows: int


def find(client: Client, since: datetime, until: datetime, progress: Callable[[int], None]) -> Verified:
    """Compare all that was received since <= received_at < until. `progress` is told the rows looked at so far.

    Raises UnknownDigestError and clickhouse_connect's errors.
    """
    findings: list[Finding] = []
    batches = rows = 0
    for table in sorted({target.table for target in TARGETS.values()}):
        for part in _parts(client, table, since, until):
            held = _held(client, table, part)
            booked = _booked(client, table, part)
            # Last: what was removed while the rows were read is not missing either.
            removed = _removed(client, table)
            findings += compared(booked, held, removed, _kinds(table)[0])
            batches += len(booked)
            rows += sum(each.rows for each in held.values())
            progress(rows)
    return Verified(tuple(sorted(findings, key=lambda each: (each.received_at, each.batch))), batches, rows)


def _parts(
    client: Client, table: str, since: datetime, until: datetime
) -> Iterator[tuple[datetime, datetime]]:
    """The slices of each day: of so many seconds at most is the number of rows asked at once."""
    while since < until:
        end = min(since + _DAY, until)
        yield from slices(_amounts(client, table, since, end), since, end)
        since = end


def slices(
    amounts: Mapping[datetime, int], since: datetime, until: datetime, most: int = _SLICE_ROWS
) -> Iterator[tuple[datetime, datetime]]:
    """Spans of whole seconds that hold all of `amounts` (rows by second), each of `most` rows unless one second has more."""
    begin, last, rows = None, since, 0
    for second in sorted(amounts):
        if begin is not None and rows + amounts[second] > most:
            yield begin, last
            begin, rows = None, 0
        begin = max(second, since) if begin is None else begin
        last, rows = min(second + _SECOND, until), rows + amounts[second]
    if begin is not None:
        yield begin, last


def compared(
    booked: Mapping[str, Booked], held: Mapping[str, Held], removed: frozenset[str], unbooked_kind: str
) -> Iterator[Finding]:
    """What differs. `removed`: the days that retention took or takes, as YYYY-MM-DD. Pure."""
    for batch, book in booked.items():
        rows = held.get(batch)
        if rows is None and f"{book.received_at:%Y-%m-%d}" in removed:
            continue
        if found := _difference(book, rows):
            count = rows.rows if rows else 0
            yield Finding(book.received_at, batch, book.kind, book.envoy_node, found, book.rows, count)
    for batch in held.keys() - booked.keys():
        rows = held[batch]
        yield Finding(rows.received_at, batch, unbooked_kind, rows.envoy_node, NOT_BOOKED, 0, rows.rows)


def _difference(book: Booked, rows: Held | None) -> str:
    if rows is None:
        return MISSING if book.rows else ""
    if rows.rows > rows.numbers or rows.greatest >= book.rows:
        return ADDED
    if rows.rows < book.rows:
        return MISSING
    return "" if rows.digest == book.digest else CHANGED


def _amounts(client: Client, table: str, since: datetime, until: datetime) -> dict[datetime, int]:
    sql = _AMOUNTS.format(table=table, span=_SPAN)
    found: dict[datetime, int] = {}
    for second, amount in client.query(sql, parameters=_span((since, until))).result_rows:
        at = datetime.fromtimestamp(int(second), UTC)
        found[at] = found.get(at, 0) + int(amount)
    return found


def _held(client: Client, table: str, part: tuple[datetime, datetime]) -> dict[str, Held]:
    expression = digest.expression(kind=_kinds(table)[0])
    return {
        row[0]: Held(*row[1:])
        for row in _query(client, _ROWS.format(table=table, span=_SPAN, digest=expression), _span(part))
    }


def _booked(client: Client, table: str, part: tuple[datetime, datetime]) -> dict[str, Booked]:
    about = {**_span(part), "kinds": _kinds(table)}
    found = {row[0]: Booked(*row[1:]) for row in _query(client, _BOOKED.format(span=_SPAN), about)}
    newer = sorted({each.version for each in found.values()} - {digest.VERSION})
    if newer:
        raise UnknownDigestError(
            f"audit.batches: batches with digest_version {newer[0]}, this is version {digest.VERSION}: "
            "verify with the version of gateledger that wrote them"
        )
    return found


def _query(client: Client, sql: str, about: Mapping[str, object]) -> Iterable[Sequence[Any]]:
    return client.query(sql, parameters=dict(about), tz_mode="aware").result_rows


def _removed(client: Client, table: str) -> frozenset[str]:
    name = table.removeprefix("audit.")
    return frozenset(row[0] for row in client.query(_REMOVED, parameters={"table": name}).result_rows)


def _kinds(table: str) -> list[str]:
    return [kind for kind, target in TARGETS.items() if target.table == table]


def _span(part: tuple[datetime, datetime]) -> dict[str, int]:
    since, until = (round(moment.timestamp() * 1_000_000) for moment in part)
    return {"since_us": since, "until_us": until}
