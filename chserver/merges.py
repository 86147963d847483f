"""Merges in the background yield to inserts: they run when a processor would be idle, and in a burst not at all.

A merge costs a row about as much as its insert did. On a small machine it would take half of a burst's processor
time; like this it catches up once the burst is over. It is a loan with a limit: from a number of parts on merges run
again, and the ledger's tables say from how many on an INSERT waits for them (parts_to_delay_insert).

Their threads run under SCHED_IDLE, and do not come back from it, for only root could bring them. That alone is not
enough: a processor on which a merge runs does not count as idle, so that what waits behind another processor's work
is not given to it (a tenth of all processor time, docs/design/ledger.md). Hence merges stop while inserts queue up.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from chserver.errors import ClickHouseError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from chserver.engine import Session

_TASKS = Path("/proc/self/task")
# What the engine calls the threads of its merges; it makes them with the first table.
_NAME = "MergeMutate"
_LOOK_SECONDS = 1.0
# While merges wait the parts are counted at every fifth look: that costs some milliseconds of a full load's processors.
_COUNT_LOOKS = 5
# Of the writer's statements at once, on average since the last look. Seen with a ledger at 60,000 records a second on two
# processors: 0.8; at 100,000: 1.2; at 150,000: 2.5.
_BURST, _QUIET = 1.1, 0.6
# So many looks in a row have to be quiet: what was being merged when merges stop is thrown away.
_QUIET_LOOKS = 3
# Parts of one partition: with fewer a burst may begin without merges, with more it goes on with them. Two parts and a
# half a second is what a full load makes, and at 300 inserts wait (ledger/schema).
_FEW_PARTS, _MANY_PARTS = 100, 200
# The most parts of a partition; many where a mutation waits, for whoever stops merges stops mutations.
_PARTS = (
    "SELECT greatest((SELECT max(n) FROM (SELECT count() AS n FROM system.parts WHERE active "
    "GROUP BY database, table, partition_id)), (SELECT 1000000 * (count() > 0) FROM system.mutations WHERE NOT is_done))"
)


class Merges:
    """Stops merges, and lets them go on. Safe for threads."""

    def __init__(self, session: Callable[[], AbstractContextManager[Session]]) -> None:
        """`session`: a session of the engine with every right."""
        self._session = session
        self._lock = threading.Lock()
        self._stopped = False
        self._wanted = 0
        self._looks = self._quiet = 0
        self._lowered: set[int] = set()

    @contextlib.contextmanager
    def wanted(self) -> Iterator[None]:
        """They run in the block whatever the load: for a statement that may be a merge itself. Raises ClickHouseError."""
        with self._lock:
            self._wanted += 1
            self._go_on()
        try:
            yield
        finally:
            with self._lock:
                self._wanted -= 1

    def look(self, load: float) -> str:
        """Decide anew; what was decided, "" for nothing new. `load`: statements of the writer at once. Raises
        ClickHouseError.
        """
        lower(self._lowered)
        with self._lock:
            self._looks += 1
            self._quiet = self._quiet + 1 if load < _QUIET else 0
            if self._stopped and (self._quiet >= _QUIET_LOOKS or self._too_many()):
                self._go_on()
                return "merges go on"
            if not (self._stopped or self._wanted) and load >= _BURST and self._parts() < _FEW_PARTS:
                self._say("SYSTEM STOP MERGES")
                self._stopped, self._looks = True, 0
                return "merges wait while inserts queue up"
        return ""

    def _go_on(self) -> None:
        if self._stopped:
            self._say("SYSTEM START MERGES")
            self._stopped = False

    def _say(self, statement: str) -> None:
        with self._session() as session:
            session.execute(statement)

    def _too_many(self) -> bool:
        return self._looks % _COUNT_LOOKS == 0 and self._parts() >= _MANY_PARTS

    def _parts(self) -> int:
        with self._session() as session:
            return int(session.value(_PARTS))


async def tended(merges: Merges, load: Callable[[], float], tell: Callable[[str], object]) -> None:
    """Look after the merges, for ever. `load`: of the writer, since it was last asked; `tell`: what was decided."""
    while True:
        # A look that fails changes nothing; the next one follows.
        with suppress(ClickHouseError):
            if said := await asyncio.to_thread(merges.look, load()):
                tell(said)
        await asyncio.sleep(_LOOK_SECONDS)


def lower(known: set[int]) -> None:
    """Lower the priority of the merging threads that are not known yet, for ever. Where the kernel has no such threads
    nothing happens.
    """
    with suppress(OSError):
        for task in _TASKS.iterdir():
            if int(task.name) not in known:
                _lower(task, known)


def _lower(task: Path, known: set[int]) -> None:
    # Not known before it has its name: a thread is named a moment after it was made, or may be gone already.
    with suppress(OSError):
        if (task / "comm").read_text(encoding="utf-8").strip() == _NAME:
            os.sched_setscheduler(int(task.name), os.SCHED_IDLE, os.sched_param(0))
            known.add(int(task.name))
