"""Queries while they run: each in its user's lane, a reader's watched for what it must not become."""

from __future__ import annotations

import asyncio
import os
import uuid
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from chserver.engine import quoted
from chserver.errors import QUERY_WAS_CANCELLED, TOO_MANY_ROWS_OR_BYTES, ClickHouseError
from chserver.query import Answer, Query, Reading, answer

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import IO

    from chserver.engine import Engine
    from chserver.lane import Job, Lane

_LOOK_SECONDS = 0.25
_MARK = "chserver "


@dataclass(frozen=True, slots=True)
class Running:
    """The engine and its two lanes."""

    engine: Engine
    writers: Lane
    readers: Lane
    reading: Reading
    max_answer_bytes: int

    async def run(
        self, query: Query, rows: IO[bytes], gone: Callable[[], Coroutine[None, None, None]]
    ) -> Answer:
        """The answer, its rows in the file. `gone` ends when the client has gone. Raises ClickHouseError."""
        work = partial(answer, self.engine, query, self.reading, rows)
        if query.role == "writer":
            # Finished even if nobody waits any more: a half-heard INSERT is still a whole one.
            return await self.writers.start(work).result
        return await self._watched(self.readers.start(work), query.marker, rows, asyncio.create_task(gone()))

    async def stop_reading(self) -> None:
        """End every reader's query."""
        await asyncio.to_thread(self._kill, f"startsWith(Settings['log_comment'], {quoted(_MARK)})")

    async def _watched(
        self, job: Job[Answer], marker: str, rows: IO[bytes], gone: asyncio.Task[None]
    ) -> Answer:
        ended: ClickHouseError | None = None
        either: set[asyncio.Future[Any]] = {job.result, gone}
        try:
            while not job.result.done():
                await asyncio.wait(either, timeout=_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                ended = ended or (_left() if gone.done() else self._over(rows))
                if ended and not job.forget() and not job.result.done():
                    # Once more in each round: a query cannot be found before it has begun.
                    await asyncio.to_thread(self._kill, f"Settings['log_comment'] = {quoted(marker)}")
                    await asyncio.wait({job.result}, timeout=_LOOK_SECONDS)
            ended = ended or self._over(rows)
        finally:
            gone.cancel()
        if ended:
            if not job.result.cancelled():
                # Looked at, or asyncio would log it as forgotten.
                job.result.exception()
            raise ended
        return await job.result

    def _over(self, rows: IO[bytes]) -> ClickHouseError | None:
        size = os.fstat(rows.fileno()).st_size
        if size <= self.max_answer_bytes:
            return None
        return ClickHouseError(
            TOO_MANY_ROWS_OR_BYTES,
            f"Limit for result exceeded, max bytes: {self.max_answer_bytes}, current bytes: {size} "
            "(chserver.reader_max_result_bytes); ask for fewer rows or columns",
        )

    def _kill(self, where: str) -> None:
        with self.engine.session() as session:
            session.execute(f"KILL QUERY WHERE {where} ASYNC")


def _left() -> ClickHouseError:
    return ClickHouseError(QUERY_WAS_CANCELLED, "Query was cancelled: the client is gone")


def marker() -> str:
    """A name by which one running query can be found."""
    return f"{_MARK}{uuid.uuid4()}"
