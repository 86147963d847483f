from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from alslog.arrival import Arrival
from alslog.intake import DROP_STOPPED, Intake, Tally
from spool import Appender, SpoolFull, disk, sealed_segments

ARRIVAL = Arrival(b"{}", b"x" * 1_000, entries=3)


@pytest.fixture
def appender(tmp_path: Path) -> Iterator[Appender]:
    made = Appender(tmp_path, segment_bytes=500, segment_seconds=60, max_bytes=20_000, reserve_bytes=0)
    yield made
    made.close()


@pytest.fixture
def tally() -> Tally:
    return Tally()


@pytest.fixture
def intake(appender: Appender, tally: Tally) -> Intake:
    return Intake(appender, tally, 5_000, structlog.stdlib.get_logger())


async def test_entries_count_once_they_are_on_disk(intake: Intake, tally: Tally, tmp_path: Path) -> None:
    task = intake.take(ARRIVAL)

    assert tally.entries == 0
    await task
    assert (tally.entries, tally.messages, tally.unparsed, tally.unsynced_bytes) == (3, 1, 0, 0)
    assert [r.payload for s in sealed_segments(tmp_path) for r in s.records()] == [ARRIVAL.payload]


async def test_an_unreadable_message_counts_as_such(intake: Intake, tally: Tally) -> None:
    await intake.take(Arrival(b"{}", b"?", entries=0, unparsed="cause"))

    assert (tally.entries, tally.unparsed) == (0, 1)


async def test_reading_waits_while_too_much_is_not_on_disk_yet(
    intake: Intake, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = asyncio.Event()
    loop = asyncio.get_running_loop()

    def sync(_: int) -> None:
        asyncio.run_coroutine_threadsafe(released.wait(), loop).result(10)

    monkeypatch.setattr(disk, "sync_file", sync)
    tasks = [intake.take(ARRIVAL) for _ in range(5)]
    await asyncio.sleep(0)
    waiting = asyncio.create_task(intake.room())
    done, _ = await asyncio.wait([waiting], timeout=0.3)

    assert not done
    assert not tally.paused
    released.set()
    await asyncio.wait_for(waiting, 10)
    await asyncio.gather(*tasks)


async def test_a_full_spool_pauses_reading_until_it_has_room_and_says_so_once(
    intake: Intake, appender: Appender, tally: Tally, tmp_path: Path
) -> None:
    with capture_logs() as logged:
        while not appender.full:
            await intake.take(ARRIVAL)
        waiting = asyncio.gather(*(intake.room() for _ in range(3)))
        done, _ = await asyncio.wait([waiting], timeout=0.3)

        assert not done
        assert tally.paused
        for segment in sealed_segments(tmp_path):
            segment.delete()
        await asyncio.wait_for(waiting, 10)

    assert not tally.paused
    assert [record["event"] for record in logged] == [
        "the spool is full, reading stops",
        "the spool has room again, reading goes on",
    ]


async def test_what_was_received_before_the_spool_was_full_waits_for_room(
    intake: Intake, appender: Appender, tally: Tally, tmp_path: Path
) -> None:
    while not appender.full:
        await intake.take(ARRIVAL)
    late = intake.take(ARRIVAL)
    done, _ = await asyncio.wait([late], timeout=0.2)

    assert not done
    for segment in sealed_segments(tmp_path):
        segment.delete()
    await asyncio.wait_for(late, 10)
    assert await intake.settle(10) == 0
    assert tally.dropped.total() == 0


async def test_at_a_stop_what_finds_no_room_is_counted_as_dropped(
    intake: Intake, appender: Appender, tally: Tally
) -> None:
    while not appender.full:
        await intake.take(ARRIVAL)
    late = intake.take(ARRIVAL)

    assert await intake.settle(0.05) == 3
    assert tally.dropped == {DROP_STOPPED: 3}
    with pytest.raises(SpoolFull):
        await late
