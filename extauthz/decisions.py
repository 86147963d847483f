"""The journal of decisions: each decision into a spool of its own; the ledger carries it to audit.decision_log.

Invariants; the tests carry their names:

1. `durable` returns once the decision survives the loss of power, or raises.
2. `add` never waits, and its memory is bounded: what does not fit is counted as dropped, never silently gone.
3. Many decisions share one write and one fdatasync: while one group is on its way the next one gathers.
4. A journal that failed is opened again by itself.

Belongs to one event loop, and to one process: a spool has one writer, so each worker has a directory of its own.
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spool import Appender, SpoolError, SpoolFull

if TYPE_CHECKING:
    from concurrent.futures import Future
    from pathlib import Path

    import structlog

    from extauthz.settings import ExtAuthzSettings

_MIB = 1024 * 1024
_SEGMENT_BYTES = 16 * _MIB
# The ledger stores a segment with one INSERT: rarely enough, and soon enough to compare.
_SEGMENT_SECONDS = 1.0
# How long decisions that nobody waits for gather, so that they cost a Check next to nothing.
_GATHER_SECONDS = 0.1
# Entries of so many bytes become records, one a node, before their group is written.
_RECORD_BYTES = 64 * 1024
# Pause before a journal without room, or one that failed, is tried again.
_RETRY_SECONDS = 0.5

BEHIND, DISK_FAILED, STOPPED_WHILE_FULL = "behind", "disk_failed", "stopped_while_full"
CAUSES = (BEHIND, DISK_FAILED, STOPPED_WHILE_FULL)


@dataclass(slots=True)
class Tally:
    """What became of decisions since this process started."""

    durable: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    pending_bytes: int = 0


@dataclass(slots=True)
class _Record:
    """Decisions of one node that are written as one."""

    node: str
    # Added one behind the other: an entry's own memory, still in the processor's caches, is the next one's.
    entries: bytearray = field(default_factory=bytearray)
    count: int = 0


class _Gathering(dict[str, _Record]):
    """By node, what is on its way to becoming a record."""

    def __missing__(self, node: str) -> _Record:
        record = self[node] = _Record(node)
        return record


@dataclass(slots=True)
class _Group:
    """Decisions that are made durable together, and the future of those who wait for them."""

    done: asyncio.Future[None]
    # What is not whole yet, and its bytes in all.
    gathering: _Gathering = field(default_factory=_Gathering)
    gathered: int = 0
    # What is whole, in its order; what was written is taken off.
    records: list[_Record] = field(default_factory=list)
    size: int = 0

    def whole(self) -> None:
        """What gathers is as large as a record may be, or is to be written now."""
        self.records += self.gathering.values()
        self.gathering.clear()
        self.size += self.gathered
        self.gathered = 0

    @property
    def count(self) -> int:
        return sum(record.count for record in self.records)


class DecisionJournal:
    """Takes entries as extauthz.wire.journal_entry makes them. Made inside the event loop that uses it."""

    def __init__(
        self, directory: Path, settings: ExtAuthzSettings, tally: Tally, log: structlog.stdlib.BoundLogger
    ) -> None:
        self.required = settings.audit_required
        self._directory = directory
        self._settings = settings
        self._tally = tally
        self._log = log
        self._most_pending = settings.journal_pending_max_bytes
        self._host = socket.gethostname()
        self._appender: Appender | None = None
        self._next: _Group | None = None
        self._task: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()
        self._stopping = False
        self._trouble = ""

    def add(self, node: str, entry: bytes) -> None:
        """Keep the decision soon; or count it as dropped."""
        if not self._take(node, entry):
            self._tally.dropped[BEHIND] += 1

    def durable(self, node: str, entry: bytes) -> asyncio.Future[None]:
        """Done once the decision is on disk; with a SpoolError it may or may not be kept."""
        if group := self._take(node, entry):
            # Who stops waiting must not take the others' group along.
            return asyncio.shield(group.done)
        full: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        full.set_exception(SpoolFull(f"spool {self._directory}: too many decisions wait for the disk"))
        return full

    async def close(self) -> None:
        """Make durable what is there, as far as there is room, and let the directory go."""
        self._stopping = True
        self._hurry.set()
        if self._task is not None:
            await self._task
        await self._shut()

    async def open(self) -> None:
        """Be ready for the first decision; a disk that cannot be used now is tried again later."""
        with suppress(SpoolError):
            await self._ready()

    def _take(self, node: str, entry: bytes) -> _Group | None:
        """The group that the decision is in now; None where there is no room. On the way of every Check."""
        size, tally = len(entry), self._tally
        pending = tally.pending_bytes + size
        if pending > self._most_pending:
            return None
        tally.pending_bytes = pending
        group = self._next or self._begun()
        record = group.gathering[node]
        record.entries += entry
        record.count += 1
        gathered = group.gathered = group.gathered + size
        if gathered >= _RECORD_BYTES:
            group.whole()
        return group

    def _begun(self) -> _Group:
        group = self._next = _Group(asyncio.get_running_loop().create_future())
        # An answer that nobody waits for any more is no error of the program.
        group.done.add_done_callback(lambda done: done.exception())
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._flush())
        return group

    async def _flush(self) -> None:
        """Write group after group until nothing waits."""
        while self._next is not None:
            if not self.required and not self._hurry.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._hurry.wait(), _GATHER_SECONDS)
            group, self._next = self._next, None
            group.whole()
            try:
                await self._keep(group)
            finally:
                self._tally.pending_bytes -= group.size

    async def _keep(self, group: _Group) -> None:
        while True:
            try:
                await self._write(group)
            except SpoolFull as error:
                self._say(error)
                if not self.required and not self._stopping:
                    await asyncio.sleep(_RETRY_SECONDS)
                    continue
                self._lose(group, error, STOPPED_WHILE_FULL)
            except Exception as error:  # noqa: BLE001 - it must not end the task: nobody would write any more
                failed = error if isinstance(error, SpoolError) else self._defect(error)
                self._say(failed)
                self._lose(group, failed, DISK_FAILED)
                if not self.required and not self._stopping:
                    await asyncio.sleep(_RETRY_SECONDS)
            else:
                self._say(None)
                group.done.set_result(None)
            return

    async def _write(self, group: _Group) -> None:
        """All of the group on disk. What is, is taken off the group; so what is left may be tried again.

        Raises SpoolError; SpoolFull only when nothing that is left was written.
        """
        appender = await self._ready()
        if appender.full:
            raise SpoolFull(f"spool {self._directory}: no room")
        now = time.time_ns()
        written: list[Future[None]] = []
        refused: SpoolError | None = None
        for record in group.records:
            try:
                written.append(
                    appender.append(_origin(record.node, self._host, now), memoryview(record.entries))
                )
            except SpoolError as error:
                refused = error
                break
        if written:
            # They are settled in their order: when the last one is, all are.
            await asyncio.gather(asyncio.wrap_future(written[-1]), return_exceptions=True)
        left = group.records[len(written) :]
        for record, future in reversed(list(zip(group.records, written, strict=False))):
            failed = future.exception()
            if failed is None:
                self._tally.durable += record.count
            else:
                left.insert(0, record)
                refused = _worse(refused, failed)
        group.records = left
        if refused is not None:
            raise refused

    def _lose(self, group: _Group, error: SpoolError, cause: str) -> None:
        if not self.required:
            self._tally.dropped[cause] += group.count
        group.done.set_exception(error)

    def _defect(self, error: Exception) -> SpoolError:
        return SpoolError(f"spool {self._directory}: {type(error).__name__}: {error}; this is a defect")

    async def _ready(self) -> Appender:
        if self._appender is not None and self._appender.failure is not None:
            await self._shut()
        if self._appender is None:
            self._appender = await asyncio.to_thread(self._opened)
        return self._appender

    def _opened(self) -> Appender:
        return Appender(
            self._directory,
            segment_bytes=_SEGMENT_BYTES,
            segment_seconds=_SEGMENT_SECONDS,
            max_bytes=self._settings.journal_max_bytes,
            reserve_bytes=self._settings.journal_reserve_bytes,
        )

    async def _shut(self) -> None:
        appender, self._appender = self._appender, None
        if appender is not None:
            await asyncio.to_thread(appender.close)

    def _say(self, error: SpoolError | None) -> None:
        """Log a change of state, not each decision that it touches."""
        text = str(error) if error else ""
        if bool(text) != bool(self._trouble):
            if error:
                self._log.error("decisions cannot be journalled", error=text, audit_required=self.required)
            else:
                self._log.info("decisions are journalled again", dropped=self._tally.dropped.total())
        self._trouble = text


def _worse(one: SpoolError | None, other: BaseException) -> SpoolError:
    """Of two refusals the one after which nothing is tried again."""
    if one is not None and not isinstance(one, SpoolFull):
        return one
    return (
        other if isinstance(other, SpoolError) else SpoolError(f"the journal's write ended oddly: {other!r}")
    )


def _origin(node: str, host: str, now: int) -> bytes:
    about = {"kind": "decision", "log_name": host, "node": node, "received_at": now}
    return json.dumps(about, sort_keys=True, separators=(",", ":")).encode()
