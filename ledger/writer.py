"""The loop: sealed segments, oldest first, into ClickHouse; a segment is deleted when all of it is booked.

Segments are planned together, as many as wait and a load can hold; each such job is frozen in the spool's
manifest before its first try. Jobs run on a few threads, so that ClickHouse reads one while another is
checked. It retries for ever: what it cannot reach it waits for; what does not add up stays in the spool
and is looked at again later, while the other segments go on.
"""

from __future__ import annotations

import contextlib
import queue
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from clickhouse_connect.driver.exceptions import Error as ClickHouseError

from ledger import status as status_file
from ledger.errors import StuckError, explained, kind_of
from ledger.job import Around, Job, StoppedError, work
from ledger.migrate import MigrationError, migrate
from ledger.plan import Limits
from ledger.retry import Backoff
from ledger.spooled import Spooled, directories, opened
from ledger.store import Store
from ledger.target import ENTRY_KINDS
from spool import SpoolError, delete

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from clickhouse_connect.driver.client import Client
    from structlog.stdlib import BoundLogger

    from ledger.job import Progress
    from ledger.status import Status

_HEARTBEAT_SECONDS = 1.0
# Jobs at once: while one is sent and one checked, ClickHouse reads the third.
_IN_FLIGHT = 3
# Every job costs ClickHouse some 60 ms by itself. So while one runs, another waits until this share of a full one
# has come together, or for so long.
_WORTH_SHARE = 2
_PATIENCE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Places:
    """Where the writer reads and writes on disk."""

    spools: Sequence[Path]
    quarantine: Path
    status: Path


class Writer:
    """One writer. `connect` gives a new client, and raises OSError or clickhouse_connect's errors.

    `hold_seconds`: how long a segment stays after all of it was seen in ClickHouse, to be looked for again.
    """

    def __init__(
        self,
        places: Places,
        connect: Callable[[], Client],
        stop: threading.Event,
        log: BoundLogger,
        *,
        poll_seconds: float,
        retry_max_seconds: float,
        hold_seconds: float = 0.0,
        limits: Limits | None = None,
        redact: Sequence[str] = (),
    ) -> None:
        self._places = places
        self._connect = connect
        self._stop = stop
        self._log = log
        self._poll_seconds = poll_seconds
        self._retry_max_seconds = retry_max_seconds
        self._hold_seconds = hold_seconds
        self._limits = limits or Limits()
        self._redact = redact
        self._backoff = Backoff(retry_max_seconds)
        self._client: Client | None = None
        self._store: Store | None = None
        self._status = status_file.read(places.status)
        self._trouble = ""
        self._met = False
        self._spools: dict[Path, Spooled] = {}
        self._running: dict[Future[None], Job] = {}
        # Jobs to be done again, and when (monotonic seconds): failed ones, held ones, stuck ones.
        self._again: list[tuple[float, Job]] = []
        # Why a job is stuck, by its name; and why a spool cannot be read.
        self._stuck: dict[str, str] = {}
        self._progress: queue.SimpleQueue[Progress] = queue.SimpleQueue()
        self._around = Around(self._progress.put, stop, self._limits)

    def run(self) -> None:
        """Work until asked to stop; what is in flight is finished.

        Raises MigrationError when the database that is met first has another schema: waiting heals nothing.
        """
        self._report(self._status)
        with ThreadPoolExecutor(_IN_FLIGHT, thread_name_prefix="job") as threads:
            while not self._stop.is_set():
                try:
                    idle = self._round(threads)
                except (ClickHouseError, MigrationError, OSError, SpoolError) as error:
                    self._finish_running()
                    self._down(error)
                    if isinstance(error, MigrationError) and not self._met:
                        raise
                    self._stop.wait(self._backoff.failed())
                else:
                    if idle:
                        self._stop.wait(self._poll_seconds)
            self._finish_running()
        self._disconnect()
        self._report(replace(self._status, clickhouse="down"))

    def _round(self, threads: ThreadPoolExecutor) -> bool:
        """Begin what can be begun, take what has ended; True when there was nothing to do."""
        store = self._connected()
        while len(self._running) < _IN_FLIGHT and (job := self._next()):
            self._running[threads.submit(self._work, store, job)] = job
        if time.time() - self._status.updated_at > _HEARTBEAT_SECONDS:
            self._report(self._status)
        if not self._running:
            return True
        done, _ = wait(self._running, self._poll_seconds, return_when=FIRST_COMPLETED)
        self._told()
        for future in done:
            self._ended(self._running.pop(future), future)
        return False

    def _work(self, store: Store, job: Job) -> None:
        work(store, self._spool(job.directory).manifest, job, self._around)

    def _ended(self, job: Job, future: Future[None]) -> None:
        """Delete the segments of a job that is done; remember one that is not. Raises what is the whole
        writer's trouble.
        """
        error = future.exception()
        now = time.monotonic()
        if error is None and self._hold_seconds and not job.held:
            job.held = job.tried = True
            self._again.append((now + self._hold_seconds, job))
        elif error is None:
            self._spool(job.directory).manifest.done(job.name)
            self._forget(job)
            self._backoff.succeeded()
        elif isinstance(error, StoppedError):
            return
        elif isinstance(error, ClickHouseError | OSError):
            job.tried = True
            self._again.append((now, job))
            raise error
        else:
            job.tried = True
            known = isinstance(error, StuckError | SpoolError)
            self._hold(job, str(error) if known else f"{type(error).__name__}: {error}")

    def _forget(self, job: Job) -> None:
        delete(job.segments)
        self._spool(job.directory).taken.difference_update(each.name for each in job.segments)
        if self._stuck.pop(job.name, None) is not None:
            self._log.info("segments that were held are stored", segments=[s.name for s in job.segments])
            if not self._stuck:
                self._report(replace(self._status, last_error=None))

    def _finish_running(self) -> None:
        """Wait for what is in flight; its errors are kept for the next try."""
        for future, job in list(self._running.items()):
            with contextlib.suppress(ClickHouseError, OSError, SpoolError):
                wait([future])
                self._ended(job, future)
            del self._running[future]
        self._told()

    def _next(self) -> Job | None:
        """What to do next: what was begun before anything new."""
        now = time.monotonic()
        for number, (due, job) in enumerate(self._again):
            if due <= now:
                del self._again[number]
                return job
        for directory in directories(self._places.spools):
            try:
                spool = self._spool(directory)
                segments = spool.backlog.take(
                    self._limits.bytes,
                    spool.taken,
                    worth=self._limits.bytes // _WORTH_SHARE if self._running else 0,
                    patience=_PATIENCE_SECONDS,
                )
            except StuckError as error:
                self._refused(directory, str(error))
                continue
            if segments:
                spool.taken.update(segment.name for segment in segments)
                return Job(directory, segments)
            if self._again and any(due <= now for due, _ in self._again):
                return self._next()
        return None

    def _spool(self, directory: Path) -> Spooled:
        """The spool; the first time its begun jobs are taken up. Raises StuckError, SpoolError, OSError."""
        known = self._spools.get(directory)
        if known is None:
            known = self._spools[directory] = opened(directory)
            self._again += [(0.0, job) for job in known.begun]
            for why in known.odd:
                self._refused(directory, why)
        return known

    def _connected(self) -> Store:
        if self._store is None:
            client = self._connect()
            self._client = client
            applied = migrate(client)
            if applied:
                self._log.info("schema migrated", applied=applied)
            self._met = True
            self._store = Store(client, self._places.quarantine, redact=self._redact)
            self._up(self._status.with_totals(self._store.totals()))
        return self._store

    def _told(self) -> None:
        """Take what the jobs have to tell."""
        while not self._progress.empty():
            said = self._progress.get()
            stored = {"stored" if said.kind in ENTRY_KINDS else "decisions": said.rows}
            if said.rows or said.batches:
                self._report(self._status.adding(**stored, batches=said.batches))
            if said.policy:
                self._log.info("policy stored", policy_version=said.policy)
            if said.repaired:
                self._log.warning(
                    "a batch was stored in part; what was missing is sent again",
                    rows=said.repaired,
                    job=said.job,
                )
            if said.kept:
                self._log.warning(
                    "entries that cannot be read are in quarantine", entries=said.kept, cause=said.cause
                )
                self._report(self._status.adding(unparsed=said.kept))

    def _hold(self, job: Job, why: str) -> None:
        if job.name not in self._stuck:
            names = [segment.name for segment in job.segments]
            self._log.error("segments are held in the spool", segments=names, why=why)
        self._stuck[job.name] = why
        self._again.append((time.monotonic() + self._retry_max_seconds, job))
        self._report(replace(self._status, last_error=why))

    def _refused(self, directory: Path, why: str) -> None:
        if self._stuck.get(str(directory)) != why:
            self._log.error("a spool is held", spool=str(directory), why=why)
            self._stuck[str(directory)] = why
            self._report(replace(self._status, last_error=why))

    def _up(self, status: Status) -> None:
        if self._trouble or self._status.clickhouse == "down":
            self._log.info("ClickHouse is up", stored_total=status.stored_total)
        self._trouble = ""
        last_error = next(iter(self._stuck.values()), None)
        self._report(replace(status, clickhouse="up", last_error=last_error))

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
