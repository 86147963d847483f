"""What ClickHouse really holds of a load. No insert is believed before it was seen here."""

from __future__ import annotations

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


def of_batches(batches: Sequence[Batch]) -> dict[str, object]:
    """The parameters of OF_BATCHES."""
    times = [batch.received_at // 1000 for batch in batches]
    return {"from_us": min(times), "to_us": max(times), "batches": [batch.id for batch in batches]}
