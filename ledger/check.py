"""What ClickHouse really holds of a load. No insert is believed before it was seen here."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ledger.target import TARGETS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clickhouse_connect.driver.client import Client

    from ledger.plan import Batch

# By received_at first: parts that cannot hold it are not read.
OF_BATCHES = (
    "received_at BETWEEN fromUnixTimestamp64Micro({from_us:Int64}, 'UTC') "
    "AND fromUnixTimestamp64Micro({to_us:Int64}, 'UTC') AND batch IN {batches:Array(String)}"
)
# An INSERT says in log_comment which batches it brings (ledger/insert.py).
_OURS = "query_kind = 'Insert' AND arrayExists(id -> position(Settings['log_comment'], id) > 0, {ids:Array(String)})"
_RUNNING = f"SELECT count() FROM system.processes WHERE {_OURS}"  # noqa: S608 - a constant
_KILL = f"KILL QUERY WHERE {_OURS} SYNC"
_SETTLE_POLL_SECONDS = 0.1
_LOOK = (
    "SELECT batch, count(), uniqExact(batch_row), max(batch_row) FROM {table} WHERE {batches} GROUP BY batch"
)


@dataclass(frozen=True, slots=True)
class Stored:
    """The rows of a batch in audit.access_log, how many numbers they have, and the greatest."""

    rows: int = 0
    numbers: int = 0
    greatest: int = 0

    def exactly(self, rows: int) -> bool:
        """Whether these are `rows` rows, numbered from 0 without gap or repeat."""
        if rows == 0:
            return self.rows == 0
        return self.rows == rows == self.numbers == self.greatest + 1


def look(client: Client, batches: Sequence[Batch]) -> dict[str, Stored]:
    """What is stored of each batch, by id; all are of one kind. Raises clickhouse_connect's errors."""
    found = {batch.id: Stored() for batch in batches}
    sql = _LOOK.format(table=TARGETS[batches[0].source.kind].table, batches=OF_BATCHES)
    for batch, *numbers in client.query(sql, parameters=of_batches(batches)).result_rows:
        found[batch] = Stored(*map(int, numbers))
    return found


def numbers(client: Client, batch: Batch) -> list[int]:
    """Which numbers of the batch are stored."""
    table = TARGETS[batch.source.kind].table
    sql = f"SELECT DISTINCT batch_row FROM {table} WHERE {OF_BATCHES}"  # noqa: S608 - constants
    return [row[0] for row in client.query(sql, parameters=of_batches([batch])).result_rows]


def rows_of(client: Client, ids: Sequence[str]) -> int:
    """Rows under these ids of batches, whatever their time: for the rare case, as it reads all of a column."""
    tables = sorted({target.table for target in TARGETS.values()})
    sql = [f"SELECT count() FROM {table} WHERE batch IN {{ids:Array(String)}}" for table in tables]  # noqa: S608
    return sum(int(client.query(each, parameters={"ids": list(ids)}).result_rows[0][0]) for each in sql)


def settle(client: Client, ids: Sequence[str], seconds: float) -> None:
    """Wait until no INSERT of these batches runs any more; after so many seconds, end it.

    A connection that broke says nothing of the query behind it: to look before it has ended would be to look
    too early. Raises clickhouse_connect's errors.
    """
    about = {"ids": list(ids)}
    deadline = time.monotonic() + seconds
    while client.query(_RUNNING, parameters=about).result_rows[0][0]:
        if time.monotonic() > deadline:
            client.command(_KILL, parameters=about)
            return
        time.sleep(_SETTLE_POLL_SECONDS)


def of_batches(batches: Sequence[Batch]) -> dict[str, object]:
    """The parameters of OF_BATCHES."""
    times = [batch.received_at // 1000 for batch in batches]
    return {"from_us": min(times), "to_us": max(times), "batches": [batch.id for batch in batches]}
