from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from extauthz.watch import looks

if TYPE_CHECKING:
    from pathlib import Path

# Far longer than a test may take: only an event can be what woke us.
NEVER = 3600.0


async def next_look(directory: Path, seconds: float, stop: asyncio.Event) -> bool:
    """Whether a look came (False: the looks ended)."""
    async for _ in looks((directory,), seconds, stop):
        return True
    return False


async def test_a_file_event_is_a_reason_to_look(tmp_path: Path) -> None:
    stop = asyncio.Event()
    look = asyncio.create_task(next_look(tmp_path, NEVER, stop))
    while not look.done():
        # Until the watch is in place events are missed: write until one is seen.
        (tmp_path / "policy.csv").write_text("x")
        await asyncio.wait([look], timeout=0.05)

    assert look.result()
    stop.set()


async def test_without_events_the_clock_is(tmp_path: Path) -> None:
    assert await next_look(tmp_path, 0.01, asyncio.Event())


async def test_a_directory_that_is_not_there_is_looked_at_by_the_clock(tmp_path: Path) -> None:
    assert await next_look(tmp_path / "nowhere", 0.01, asyncio.Event())


async def test_the_looks_end_at_a_stop(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "nowhere"):
        stop = asyncio.Event()
        stop.set()

        assert not [None async for _ in looks((directory,), NEVER, stop)]
