"""Forgetting, on purpose and on the record: whole partitions that are older than so many days.

A removal is booked before it begins and again when it is done, so that a ledger that forgets says what it forgot.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clickhouse_connect.driver.client import Client

# What may be forgotten, and the column by whose age; policies, batches and removals stay: they are small, and
# they are what the rest is checked against.
TABLES = {
    "access_log": "received_at",
    "decision_log": "received_at",
    "envoy_counters": "time",
    "unparsed": "received_at",
}
_HELD = """
SELECT partition, sum(rows) FROM system.parts
WHERE database = 'audit' AND table = {table:String} AND active GROUP BY partition ORDER BY partition
"""


@dataclass(frozen=True, slots=True)
class Removal:
    """A partition that is older than what is kept. Times of its rows, in UTC."""

    table: str
    partition: str
    rows: int
    first: datetime
    last: datetime


def due(client: Client, tables: Sequence[str], days: int, now: datetime) -> list[Removal]:
    """The partitions all of whose rows are more than so many days old. Raises clickhouse_connect's errors."""
    keep_from = now - timedelta(days=days)
    found = [
        _removal(client, table, partition, rows)
        for table in tables
        for partition, rows in _held(client, table)
    ]
    return [each for each in found if each.last < keep_from]


def remove(client: Client, removal: Removal, days: int, run_by: str) -> None:
    """Drop the partition, and book it. May be repeated. Raises clickhouse_connect's errors."""
    book(client, removal, "begun", days, run_by)
    client.command(
        f"ALTER TABLE audit.{removal.table} DROP PARTITION {{partition:String}}",
        parameters={"partition": removal.partition},
    )
    book(client, removal, "dropped", days, run_by)


def order(client: Client, table: str, days: int, run_by: str) -> None:
    """Have ClickHouse itself drop what is older, from now on. Raises clickhouse_connect's errors."""
    client.command(
        f"ALTER TABLE audit.{table} MODIFY TTL toDateTime({TABLES[table]}) + toIntervalDay({days:d}) "
        "SETTINGS materialize_ttl_after_modify = 0"
    )
    never = datetime.fromtimestamp(0, UTC)
    book(client, Removal(table, "", 0, never, never), "ttl", days, run_by)


def book(client: Client, removal: Removal, action: str, days: int, run_by: str) -> None:
    """Write it into audit.removals."""
    row = {
        "table_name": removal.table,
        "action": action,
        "partition": removal.partition,
        "rows": removal.rows,
        "first_received_at": f"{removal.first:%Y-%m-%d %H:%M:%S.%f}",
        "last_received_at": f"{removal.last:%Y-%m-%d %H:%M:%S.%f}",
        "days": days,
        "run_by": run_by,
    }
    data = json.dumps(row).encode("utf-8", "replace")
    settings = {"async_insert": 0, "wait_end_of_query": 1, "date_time_input_format": "best_effort"}
    client.command("INSERT INTO audit.removals FORMAT JSONEachRow", data=data, settings=settings)


def _held(client: Client, table: str) -> Sequence[tuple[str, int]]:
    return [
        (str(name), int(rows)) for name, rows in client.query(_HELD, parameters={"table": table}).result_rows
    ]


def _removal(client: Client, table: str, partition: str, rows: int) -> Removal:
    column = TABLES[table]
    span = client.query(
        f"SELECT min({column}), max({column}) FROM audit.{table} "  # noqa: S608 - constants
        "WHERE _partition_value.1 = {partition:String} OR toString(_partition_value.1) = {partition:String}",
        parameters={"partition": partition},
        tz_mode="aware",
    ).result_rows[0]
    return Removal(table, partition, rows, span[0], span[1])
