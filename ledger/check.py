"""What ClickHouse really holds of a batch. No insert is believed before it was seen here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from ledger.plan import Batch

# By received_at first: it is one value a batch, and parts that cannot hold it are not read.
OF_BATCH = "received_at = fromUnixTimestamp64Micro({received_us:Int64}, 'UTC') AND batch = {batch:String}"
_LOOK = f"SELECT count(), uniqExact(batch_row), max(batch_row) FROM audit.access_log WHERE {OF_BATCH}"  # noqa: S608 - a constant


@dataclass(frozen=True, slots=True)
class Stored:
    """The rows of a batch in audit.access_log, how many numbers they have, and the greatest."""

    rows: int
    numbers: int
    greatest: int

    def exactly(self, rows: int) -> bool:
        """Whether these are `rows` rows, numbered from 0 without gap or repeat."""
        if rows == 0:
            return self.rows == 0
        return self.rows == rows == self.numbers == self.greatest + 1


def look(client: Client, batch: Batch) -> Stored:
    """What is stored of the batch. Raises clickhouse_connect's errors."""
    rows, numbers, greatest = client.query(_LOOK, parameters=of_batch(batch)).result_rows[0]
    return Stored(int(rows), int(numbers), int(greatest))


def of_batch(batch: Batch) -> dict[str, object]:
    """The parameters of OF_BATCH."""
    return {"received_us": batch.received_at // 1000, "batch": batch.id}
