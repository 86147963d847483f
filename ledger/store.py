"""A load becomes rows, exactly once: look, insert, look again, book.

Invariants; the tests carry their names:

1. Nothing that may have been sent before is inserted without a look: what is there already is not sent
   again, and there is no look before the query that may still bring it has ended.
2. A batch is done when ClickHouse shows all its rows, numbered from 0 without gap or repeat, less the
   entries that are in quarantine and booked there.
3. An entry that cannot be stored stops no other: it goes to quarantine first, then the rest is stored.
4. A batch that is there in part gets what is missing, with the numbers that it has, and nothing else.
5. Whatever else does not add up is left as it is, and raises StuckError: its segment stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from clickhouse_connect.driver.exceptions import Error as ClickHouseError

from ledger import check, counters, insert, poison, quarantine, register
from ledger.errors import Kind, StuckError, explained, kind_of
from ledger.framing import framing
from ledger.plan import Batch, Load, Policy, Unparsed, batch_of, loads, missing, without
from ledger.target import ENTRY_KINDS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from clickhouse_connect.driver.client import Client

    from ledger.counters import Counters
    from ledger.register import Totals

# An entry without any field: what can be stored if anything can.
_EMPTY_ENTRY = b"\x0a\x00"

# How long an INSERT that was begun may go on before it is ended.
_SETTLE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Done:
    """What was stored, and what was put into quarantine, for the first time."""

    rows: int
    batches: int
    entries_kept: int
    # Rows sent again because a batch was stored in part.
    repaired: int = 0


class Store:
    """The way into one ClickHouse. Every method may be repeated, and raises clickhouse_connect's errors:
    nothing is lost, try again.
    """

    def __init__(
        self,
        client: Client,
        quarantine_directory: Path,
        settle_seconds: float = _SETTLE_SECONDS,
        redact: Sequence[str] = (),
    ) -> None:
        self._redact = redact
        self._settle_seconds = settle_seconds
        self._client = client
        self._quarantine = quarantine_directory
        # Inserts that were answered as done and left nothing, by token: it is used up.
        self._vain: dict[str, int] = {}

    def totals(self) -> Totals:
        return register.totals(self._client)

    def unparsed(self, unparsed: Unparsed) -> int:
        """Keep the bytes, and book them; gives entries kept for the first time. Raises OSError too."""
        file = quarantine.keep(self._quarantine, unparsed.id, unparsed.payload)
        return max(unparsed.entries, 1) if register.kept(self._client, unparsed, file) else 0

    def policy(self, policy: Policy) -> bool:
        """Book the policy; whether it was new."""
        return register.policy_decided(self._client, policy)

    def counters(self, read: Counters) -> None:
        """Store one reading of an Envoy's counters."""
        counters.store(self._client, read)

    def rows_of(self, ids: Sequence[str]) -> int:
        """Rows that are stored, or still on their way, under these ids of batches."""
        check.settle(self._client, ids, self._settle_seconds)
        return check.rows_of(self._client, ids)

    def load(self, load: Load, *, tried: bool = True) -> Done:
        """Store the batches. Raises StuckError too, when the others are booked, and OSError.

        `tried`: whether something of them may be there already, or on its way.
        """
        stored = {batch.id: check.Stored() for batch in load.batches}
        if tried:
            check.settle(self._client, [batch.id for batch in load.batches], self._settle_seconds)
            stored = check.look(self._client, load.batches)
        absent = tuple(batch for batch in load.batches if stored[batch.id].rows == 0)
        kept = self._send(Load(absent)) if absent else 0
        repaired = sum(self._repair(batch, stored[batch.id]) for batch in load.batches)
        if absent or repaired:
            stored = check.look(self._client, load.batches)
        rows = {batch: self._rows_due(batch, stored[batch.id]) for batch in load.batches}
        whole = {batch: due for batch, due in rows.items() if due and stored[batch.id].exactly(due)}
        new = register.batches_stored(self._client, whole, tried=tried) if whole else []
        self._refuse_odd(Load(absent) if absent else load, rows, stored)
        return Done(sum(rows[batch] for batch in new), len(new), kept, repaired)

    def _repair(self, batch: Batch, stored: check.Stored) -> int:
        """Send what is missing of a batch that is there in part; the count of rows."""
        part = 0 < stored.rows == stored.numbers < batch.rows and stored.greatest < batch.rows
        # Entries in quarantine have left no numbers behind, so that nobody can tell which are missing.
        if not part or batch.source.kind not in ENTRY_KINDS or register.entries_kept(self._client, batch):
            return 0
        pieces = missing(batch, check.numbers(self._client, batch))
        for load in loads(pieces):
            self._insert(load)
        return sum(piece.rows for piece in pieces)

    def _rows_due(self, batch: Batch, stored: check.Stored) -> int:
        """The rows that must be there: all, less what is in quarantine."""
        if stored.exactly(batch.rows):
            return batch.rows
        return batch.rows - register.entries_kept(self._client, batch)

    def _refuse_odd(self, sent: Load, rows: dict[Batch, int], stored: dict[str, check.Stored]) -> None:
        odd = [batch for batch, due in rows.items() if not stored[batch.id].exactly(due)]
        if not odd:
            self._vain.pop(sent.token, None)
            return
        if all(stored[batch.id].rows == 0 for batch in odd):
            # Answered as done and not there: ClickHouse remembers the token of rows that are gone.
            self._vain[sent.token] = self._vain.get(sent.token, 0) + 1
        said = "; ".join(
            f"batch {batch.id}: audit.access_log holds {stored[batch.id].rows} of its {rows[batch]} rows "
            f"({stored[batch.id].numbers} numbers, the greatest {stored[batch.id].greatest})"
            for batch in odd
        )
        raise StuckError(f"{said}; the segment stays in the spool")

    def _send(self, load: Load) -> int:
        try:
            self._insert(load)
        except ClickHouseError as error:
            kind = kind_of(error)
            if kind is Kind.BATCH:
                raise StuckError(
                    f"batch {load.batches[0].id}: {explained(error)}; this is a defect"
                ) from error
            if kind is not Kind.DATA:
                raise
            return self._send_the_rest(load, error)
        return 0

    def _insert(self, load: Load) -> None:
        vain = self._vain.get(load.token, 0)
        token = f"{load.token}/{vain}" if vain else load.token
        insert.insert(self._client, load, token, self._redact)

    def _send_the_rest(self, load: Load, error: ClickHouseError) -> int:
        """Put the entries that cannot be stored into quarantine, and store the others."""
        found = {batch: self._culprits(batch) for batch in load.batches} if self._works(load) else {}
        if not any(found.values()):
            raise StuckError(
                f"batch {load.batches[0].id}: ClickHouse refuses it, but by the fault of no entry: {explained(error)}"
            ) from error
        kept = sum(self._keep(batch, each) for batch, several in found.items() for each in several)
        rest = tuple(without(batch, [each.numbers for each in several]) for batch, several in found.items())
        rest = tuple(batch for batch in rest if batch.rows)
        if rest:
            self._insert(Load(rest))
        return kept

    def _works(self, load: Load) -> bool:
        """Whether an empty entry passes: if not even that, the fault is not the entries'."""
        return not self._fault(load.batches[0], _EMPTY_ENTRY, 1)

    def _culprits(self, batch: Batch) -> tuple[poison.Culprit, ...]:
        payload = batch.payload
        spans = framing(payload).entries

        def fault(numbers: range) -> str:
            return self._fault(batch, _slice(payload, spans, numbers), len(numbers))

        return poison.culprits(batch.rows, fault)

    def _fault(self, batch: Batch, payload: bytes, rows: int) -> str:
        tried = batch_of(batch.id, batch.source, batch.received_at, [payload], rows)
        try:
            insert.attempt(self._client, Load((tried,)))
        except ClickHouseError as error:
            if kind_of(error) is not Kind.DATA:
                raise
            return explained(error)
        return ""

    def _keep(self, batch: Batch, culprit: poison.Culprit) -> int:
        return self.unparsed(
            Unparsed(
                id=f"{batch.id}.entry-{culprit.numbers[0]}",
                source=batch.source,
                received_at=batch.received_at,
                cause=culprit.cause,
                payload=_slice(batch.payload, framing(batch.payload).entries, culprit.numbers),
                batch=batch.id,
                entries=len(culprit.numbers),
            )
        )


def _slice(payload: bytes, spans: tuple[tuple[int, int], ...], numbers: range) -> bytes:
    """The bytes of neighbouring entries."""
    return payload[spans[numbers[0]][0] : spans[numbers[-1]][1]]
