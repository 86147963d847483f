"""The loop: sealed segments, oldest first, into ClickHouse; a segment is deleted when all of it is booked.

It retries for ever. What it cannot reach it waits for; what does not add up stays in the spool and is
looked at again later, while the other segments go on. Single-threaded.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from clickhouse_connect.driver.exceptions import Error as ClickHouseError

from ledger import status as status_file
from ledger.errors import StuckError, explained, kind_of
from ledger.migrate import MigrationError, migrate
from ledger.plan import Torn, loads, plan
from ledger.retry import Backoff
from ledger.store import Store
from ledger.target import ENTRY_KINDS
from spool import Damage, SpoolError, sealed_segments

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from clickhouse_connect.driver.client import Client
    from structlog.stdlib import BoundLogger

    from ledger.plan import Plan
    from ledger.status import Status
    from spool import Record, Segment

_HEARTBEAT_SECONDS = 1.0


class _StoppedError(Exception):
    """Asked to stop between two loads: the segment stays, and what is stored of it will be found."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where the writer reads and writes on disk."""

    spools: Sequence[Path]
    quarantine: Path
    status: Path


class Writer:
    """One writer. `connect` gives a new client, and raises OSError or clickhouse_connect's errors."""

    def __init__(
        self,
        places: Places,
        connect: Callable[[], Client],
        stop: threading.Event,
        log: BoundLogger,
        *,
        poll_seconds: float,
        retry_max_seconds: float,
    ) -> None:
        self._places = places
        self._connect = connect
        self._stop = stop
        self._log = log
        self._poll_seconds = poll_seconds
        self._retry_max_seconds = retry_max_seconds
        self._backoff = Backoff(retry_max_seconds)
        self._client: Client | None = None
        self._store: Store | None = None
        self._status = status_file.read(places.status)
        self._trouble = ""
        self._met = False
        # Segments that do not add up, and when (monotonic seconds) to look at each again.
        self._stuck: dict[str, float] = {}

    def run(self) -> None:
        """Work until asked to stop; the insert in flight is finished.

        Raises MigrationError when the database that is met first has another schema: waiting heals nothing.
        """
        self._report(self._status)
        while not self._stop.is_set():
            try:
                idle = self._round()
            except _StoppedError:
                break
            except MigrationError as error:
                self._down(error)
                if not self._met:
                    raise
                self._stop.wait(self._backoff.failed())
            except (ClickHouseError, OSError, SpoolError) as error:
                self._down(error)
                self._stop.wait(self._backoff.failed())
            else:
                self._backoff.succeeded()
                if idle:
                    self._stop.wait(self._poll_seconds)
        self._disconnect()
        self._report(replace(self._status, clickhouse="down"))

    def _round(self) -> bool:
        """Store what is sealed; True when there was nothing."""
        store = self._connected()
        segments = [segment for segment in self._segments() if self._due(segment)]
        for segment in segments:
            self._drain(store, segment)
        if not segments and time.time() - self._status.updated_at > _HEARTBEAT_SECONDS:
            self._report(self._status)
        return not segments

    def _connected(self) -> Store:
        if self._store is None:
            client = self._connect()
            self._client = client
            applied = migrate(client)
            if applied:
                self._log.info("schema migrated", applied=applied)
            self._met = True
            self._store = Store(client, self._places.quarantine)
            self._up(self._status.with_totals(self._store.totals()))
        return self._store

    def _segments(self) -> list[Segment]:
        found = [segment for spool in self._spools() for segment in sealed_segments(spool)]
        return sorted(found, key=lambda segment: segment.name)

    def _spools(self) -> Iterator[Path]:
        """The spools: each directory that was named, and those in it, where a service has one a worker."""
        for named in self._places.spools:
            yield named
            with contextlib.suppress(OSError):
                yield from sorted(below for below in named.iterdir() if below.is_dir())

    def _due(self, segment: Segment) -> bool:
        return self._stuck.get(segment.name, 0.0) <= time.monotonic()

    def _drain(self, store: Store, segment: Segment) -> None:
        try:
            self._store_all(store, plan(segment.name, _items(segment)))
        except (ClickHouseError, OSError, _StoppedError):
            raise
        except Exception as error:  # noqa: BLE001 - one segment, whatever it meets, must not stop the others
            known = isinstance(error, StuckError | SpoolError)
            self._hold(segment, str(error) if known else f"{type(error).__name__}: {error}")
            return
        segment.delete()
        if self._stuck.pop(segment.name, None) is not None:
            self._log.info("a segment that was held is stored", segment=segment.name)
            if not self._stuck:
                self._report(replace(self._status, last_error=None))

    def _store_all(self, store: Store, work: Plan) -> None:
        for policy in work.policies:
            if store.policy(policy):
                self._log.info("policy stored", policy_version=policy.version)
        for read in work.counters:
            store.counters(read)
        for unparsed in work.unparsed:
            self._kept(store.unparsed(unparsed), unparsed.cause)
        for load in loads(work.batches):
            if self._stop.is_set():
                raise _StoppedError
            done = store.load(load)
            stored = {"stored" if load.kind in ENTRY_KINDS else "decisions": done.rows}
            self._report(self._status.adding(**stored, batches=done.batches))
            self._kept(done.entries_kept, f"see audit.unparsed, batch {load.batches[0].id} and on")

    def _kept(self, entries: int, cause: str) -> None:
        if entries:
            self._log.warning("entries that cannot be read are in quarantine", entries=entries, cause=cause)
            self._report(self._status.adding(unparsed=entries))

    def _hold(self, segment: Segment, why: str) -> None:
        if segment.name not in self._stuck:
            self._log.error("a segment is held in the spool", segment=segment.name, why=why)
        self._stuck[segment.name] = time.monotonic() + self._retry_max_seconds
        self._report(replace(self._status, last_error=why))

    def _up(self, status: Status) -> None:
        if self._trouble or self._status.clickhouse == "down":
            self._log.info("ClickHouse is up", stored_total=status.stored_total)
        self._trouble = ""
        self._report(replace(status, clickhouse="up", last_error=None))

    def _down(self, error: Exception) -> None:
        """Say so once, not at every try."""
        kind = f"{type(error).__name__}: {kind_of(error)}"
        if kind != self._trouble:
            self._log.error("the ledger waits", kind=kind, error=explained(error))
        self._trouble = kind
        self._disconnect()
        self._report(replace(self._status, clickhouse="down", last_error=explained(error)))

    def _disconnect(self) -> None:
        # A new client next time: another password, another server behind the name.
        if self._client is not None:
            self._client.close()
        self._client = self._store = None

    def _report(self, status: Status) -> None:
        self._status = replace(status, updated_at=time.time())
        try:
            status_file.write(self._places.status, self._status)
        except OSError as error:
            # A report is not worth an end: it is written again with the next change or heartbeat.
            self._log.warning("the status cannot be written", path=str(self._places.status), error=str(error))


def _items(segment: Segment) -> Iterator[Record | Torn]:
    for item in segment.salvage():
        if isinstance(item, Damage):
            torn = segment.read()[item.offset : item.offset + item.length]
            yield Torn(f"{segment.path.name}: offset {item.offset}: {item.cause}", torn)
        else:
            yield item
