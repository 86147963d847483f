"""A batch becomes rows, exactly once: look, insert, look again, book.

Invariants; the tests carry their names:

1. Nothing is inserted without a look: what is there already is not sent again.
2. A batch is done when ClickHouse shows all its rows, numbered from 0 without gap or repeat, less the
   entries that are in quarantine and booked there.
3. An entry that cannot be stored stops no other: it goes to quarantine first, then the rest is stored.
4. Whatever does not add up is left as it is, and raises StuckError: its segment stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from clickhouse_connect.driver.exceptions import Error as ClickHouseError

from ledger import check, insert, poison, quarantine, register
from ledger.errors import Kind, StuckError, explained, kind_of
from ledger.framing import framing
from ledger.plan import Batch, Policy, Unparsed, without

if TYPE_CHECKING:
    from pathlib import Path

    from clickhouse_connect.driver.client import Client

    from ledger.register import Totals

# An entry without any field: what can be stored if anything can.
_EMPTY_ENTRY = b"\x0a\x00"


class Store:
    """The way into one ClickHouse. Every method may be repeated, raises clickhouse_connect's errors
    (nothing is lost: try again), and gives how many entries were stored or kept for the first time.
    """

    def __init__(self, client: Client, quarantine_directory: Path) -> None:
        self._client = client
        self._quarantine = quarantine_directory
        # Inserts that were answered as done and left nothing: their token is used up.
        self._vain: dict[str, int] = {}

    def totals(self) -> Totals:
        return register.totals(self._client)

    def batch(self, batch: Batch) -> tuple[int, int]:
        """Store the batch; gives rows stored and entries kept. Raises StuckError too."""
        entries_kept = 0
        stored = check.look(self._client, batch)
        if stored.rows == 0:
            entries_kept = self._send(batch)
            stored = check.look(self._client, batch)
        rows = batch.rows
        if not stored.exactly(rows):
            rows -= register.entries_kept(self._client, batch)
        if not stored.exactly(rows):
            raise self._odd(batch, stored, rows)
        self._vain.pop(batch.id, None)
        new = rows > 0 and register.batch_stored(self._client, batch, rows)
        return (rows if new else 0), entries_kept

    def unparsed(self, unparsed: Unparsed) -> int:
        """Keep the bytes, and book them. Raises OSError too."""
        file = quarantine.keep(self._quarantine, unparsed.id, unparsed.payload)
        return max(unparsed.entries, 1) if register.kept(self._client, unparsed, file) else 0

    def policy(self, policy: Policy) -> bool:
        """Book the policy."""
        return register.policy_decided(self._client, policy)

    def _send(self, batch: Batch) -> int:
        try:
            insert.insert(self._client, batch, self._token(batch))
        except ClickHouseError as error:
            if kind_of(error) is not Kind.DATA:
                raise
            return self._send_the_rest(batch, error)
        return 0

    def _send_the_rest(self, batch: Batch, error: ClickHouseError) -> int:
        """Put the entries that cannot be stored into quarantine, and store the others."""
        found = self._culprits(batch)
        if not found:
            raise StuckError(
                f"batch {batch.id}: ClickHouse refuses it, but by the fault of no entry: {explained(error)}"
            ) from error
        spans = framing(batch.payload).entries
        entries_kept = 0
        for each in found:
            first, last = each.numbers[0], each.numbers[-1]
            entries_kept += self.unparsed(
                Unparsed(
                    id=f"{batch.id}.entry-{first}",
                    source=batch.source,
                    received_at=batch.received_at,
                    cause=each.cause,
                    payload=batch.payload[spans[first][0] : spans[last][1]],
                    batch=batch.id,
                    entries=len(each.numbers),
                )
            )
        rest = without(batch, [each.numbers for each in found])
        if rest.rows:
            insert.insert(self._client, rest, self._token(batch))
        return entries_kept

    def _culprits(self, batch: Batch) -> tuple[poison.Culprit, ...]:
        empty = Batch(batch.id, batch.source, batch.received_at, _EMPTY_ENTRY, 1)
        if self._fault(empty):
            # Not even that: the fault is not the entries'.
            return ()
        spans = framing(batch.payload).entries

        def fault(numbers: range) -> str:
            payload = batch.payload[spans[numbers[0]][0] : spans[numbers[-1]][1]]
            return self._fault(Batch(batch.id, batch.source, batch.received_at, payload, len(numbers)))

        return poison.culprits(batch.rows, fault)

    def _fault(self, batch: Batch) -> str:
        try:
            insert.attempt(self._client, batch)
        except ClickHouseError as error:
            if kind_of(error) is not Kind.DATA:
                raise
            return explained(error)
        return ""

    def _token(self, batch: Batch) -> str:
        vain = self._vain.get(batch.id, 0)
        return f"{batch.id}+{vain}" if vain else batch.id

    def _odd(self, batch: Batch, stored: check.Stored, rows: int) -> StuckError:
        if stored.rows == 0:
            # Stored once and gone again, while ClickHouse still remembers the token.
            self._vain[batch.id] = self._vain.get(batch.id, 0) + 1
        return StuckError(
            f"batch {batch.id}: audit.access_log holds {stored.rows} of its {rows} rows "
            f"({stored.numbers} numbers, the greatest {stored.greatest}); its segment stays in the spool"
        )
