"""Arrivals into the spool, no more at once than memory bears, and each until it is durable."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spool import SpoolFull

if TYPE_CHECKING:
    import structlog

    from alslog.arrival import Arrival
    from spool import Appender

# Seconds between two looks whether a full spool has room again.
_FULL_POLL_SECONDS = 0.1

DROP_STOPPED = "stopped_while_full"


@dataclass(slots=True)
class Tally:
    """What this process has seen since it started. The event loop's alone."""

    entries: int = 0
    messages: int = 0
    unparsed: int = 0
    streams: int = 0
    broken: int = 0
    unsynced_bytes: int = 0
    paused: bool = False
    dropped: Counter[str] = field(default_factory=Counter)


class Intake:
    """Stores arrivals. Its caller awaits `room` before it reads the next message: that is the
    back-pressure which Envoy sees as a closed HTTP/2 window.
    """

    def __init__(
        self, appender: Appender, tally: Tally, unsynced_max_bytes: int, log: structlog.stdlib.BoundLogger
    ) -> None:
        self._appender = appender
        self._tally = tally
        self._unsynced_max_bytes = unsynced_max_bytes
        self._log = log
        self._stored = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._giving_up = False

    async def room(self) -> None:
        """Wait until one more message may be read."""
        while self._appender.full or self._tally.unsynced_bytes >= self._unsynced_max_bytes:
            self._pause(self._appender.full)
            self._stored.clear()
            try:
                await asyncio.wait_for(self._stored.wait(), _FULL_POLL_SECONDS)
            except TimeoutError:
                continue
        self._pause(False)

    def take(self, arrival: Arrival) -> asyncio.Task[None]:
        """Store the arrival; the task ends once it is durable, and raises SpoolError if it never will be.

        It goes on when nobody waits for it: the stream that it came by may be gone.
        """
        task = asyncio.create_task(self._store(arrival))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def settle(self, seconds: float) -> int:
        """Wait until all that was taken is durable. Entries given up, because the spool was still full
        after so many seconds.
        """
        before = self._tally.dropped[DROP_STOPPED]
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        self._giving_up = True
        await asyncio.gather(*self._tasks, return_exceptions=True)
        return self._tally.dropped[DROP_STOPPED] - before

    async def _store(self, arrival: Arrival) -> None:
        size = len(arrival.origin) + len(arrival.payload)
        self._tally.unsynced_bytes += size
        try:
            await self._until_stored(arrival)
        finally:
            self._tally.unsynced_bytes -= size
            self._stored.set()
        self._tally.messages += 1
        self._tally.entries += arrival.entries
        self._tally.unparsed += arrival.unparsed is not None

    async def _until_stored(self, arrival: Arrival) -> None:
        while True:
            try:
                return await asyncio.wrap_future(self._appender.append(arrival.origin, arrival.payload))
            except SpoolFull:
                if self._giving_up:
                    self._tally.dropped[DROP_STOPPED] += max(1, arrival.entries)
                    raise
                self._pause(self._appender.full)
                await asyncio.sleep(_FULL_POLL_SECONDS)

    def _pause(self, paused: bool) -> None:
        """Note the state, and log its changes."""
        if paused == self._tally.paused:
            return
        self._tally.paused = paused
        if paused:
            self._log.warning(
                "the spool is full, reading stops",
                hint="is the ledger writer running, and ClickHouse reachable? does the disk have space?",
            )
        else:
            self._log.info("the spool has room again, reading goes on")
