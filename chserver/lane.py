"""Threads for one kind of work, so that one kind never waits behind the other."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from chserver.errors import TOO_MANY_SIMULTANEOUS_QUERIES, ClickHouseError

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Job(Generic[Result]):
    """Work that was begun or queued. `result` is what to wait for."""

    result: asyncio.Future[Result]
    _thread: Future[Result]

    def forget(self) -> bool:
        """Give it up if it has not begun. The future of asyncio cannot tell: it would forget running work too."""
        return self._thread.cancel()


class Lane:
    """At most `workers` at once; `waiting` more wait in order; the next is refused."""

    def __init__(self, name: str, workers: int, waiting: int) -> None:
        self._places = workers + waiting
        self._taken = 0
        # Work times seconds since `load` was asked, up to the last change of `_taken`, and when that was.
        self._done = 0.0
        self._asked = self._changed = time.monotonic()
        self._idle = asyncio.Event()
        self._idle.set()
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix=name)

    @property
    def taken(self) -> int:
        """Those that run and those that wait."""
        return self._taken

    def load(self) -> float:
        """How many ran and waited, on average since it was last asked."""
        self._count(0)
        done, seconds = self._done, self._changed - self._asked
        self._done, self._asked = 0.0, self._changed
        return done / seconds if seconds else float(self._taken)

    async def idle(self) -> None:
        """Wait until nothing runs or waits."""
        await self._idle.wait()

    def start(self, work: Callable[[], Result]) -> Job[Result]:
        """Begin `work`, or queue it. Raises ClickHouseError when there is no place."""
        if self._taken >= self._places:
            raise ClickHouseError(
                TOO_MANY_SIMULTANEOUS_QUERIES,
                f"Too many simultaneous queries: {self._taken} run or wait already",
            )
        loop = asyncio.get_running_loop()
        job = self._threads.submit(work)
        self._count(1)
        self._idle.clear()
        # By the thread's own end: a request may be given up while its query still runs.
        job.add_done_callback(lambda _: _call(loop, self._leave))
        return Job(asyncio.wrap_future(job), job)

    def close(self) -> None:
        """Take no more work and forget what has not begun."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _count(self, change: int) -> None:
        now = time.monotonic()
        self._done += self._taken * (now - self._changed)
        self._changed = now
        self._taken += change

    def _leave(self) -> None:
        self._count(-1)
        if not self._taken:
            self._idle.set()


def _call(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(function)
