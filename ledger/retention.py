"""Forgetting, on purpose and on the record: whole partitions that are older than so many days.

A removal is booked before it begins and again when it is done, so that a ledger that forgets says what it forgot.
For the same reason a standing order is carried out here, partition by partition, and never by the TTL of ClickHouse,
which drops rows without a word.
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
_DEFINITION = "SELECT engine_full FROM system.tables WHERE database = 'audit' AND name = {table:String}"
_ORDERS = """
SELECT table_name, argMax(days, removed_at) FROM audit.removals WHERE action = 'ttl'
GROUP BY table_name ORDER BY table_name
"""
_UNFINISHED = """
SELECT
    table_name, partition, argMax(rows, removed_at), argMax(first_received_at, removed_at),
    argMax(last_received_at, removed_at), argMax(days, removed_at)
FROM audit.removals WHERE action IN ('begun', 'dropped')
GROUP BY table_name, partition HAVING countIf(action = 'begun') > 0 AND argMax(action, (removed_at, action)) = 'begun'
ORDER BY table_name, partition
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
    """Have `keep` remove what gets older, from now on; 0 days: no more. Raises clickhouse_connect's errors."""
    never = datetime.fromtimestamp(0, UTC)
    book(client, Removal(table, "", 0, never, never), "ttl", days, run_by)
    _without_ttl(client, table)


def orders(client: Client) -> dict[str, int]:
    """Tables with a standing order, and how many days each keeps. Raises clickhouse_connect's errors."""
    rows = client.query(_ORDERS).result_rows
    return {str(table): int(days) for table, days in rows if days and table in TABLES}


def keep(client: Client, now: datetime, run_by: str) -> list[Removal]:
    """Carry out the standing orders; what was removed. Raises clickhouse_connect's errors."""
    settle(client, run_by)
    done = []
    for table, days in orders(client).items():
        # An order of an earlier version was one to ClickHouse itself.
        _without_ttl(client, table)
        for removal in due(client, (table,), days, now):
            remove(client, removal, days, run_by)
            done.append(removal)
    return done


def settle(client: Client, run_by: str) -> None:
    """Book the end of removals that were begun, done, and cut off before they were booked as done."""
    for table, partition, rows, first, last, days in client.query(_UNFINISHED, tz_mode="aware").result_rows:
        if partition not in (held for held, _ in _held(client, table)):
            book(client, Removal(table, partition, rows, first, last), "dropped", days, run_by)


def _without_ttl(client: Client, table: str) -> None:
    found = client.query(_DEFINITION, parameters={"table": table}).result_rows
    if any(" TTL " in definition for (definition,) in found):
        client.command(f"ALTER TABLE audit.{table} REMOVE TTL")


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
