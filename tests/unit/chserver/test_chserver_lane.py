"""Lanes: how many run, how many wait."""

from __future__ import annotations

import asyncio
import threading

import pytest

from chserver.errors import ClickHouseError
from chserver.lane import Lane


async def test_more_than_may_wait_are_refused_and_places_come_free() -> None:
    lane, go = Lane("t", 1, 1), threading.Event()
    first, second = lane.start(go.wait).result, lane.start(lambda: "second").result

    with pytest.raises(ClickHouseError) as caught:
        lane.start(lambda: None)
    go.set()
    await asyncio.gather(first, second)
    await lane.idle()

    assert (202, 503) == (caught.value.code, caught.value.status)
    assert 0 == lane.taken
    assert "third" == await lane.start(lambda: "third").result
    lane.close()


async def test_an_error_of_the_work_is_the_callers() -> None:
    lane = Lane("t", 1, 0)

    with pytest.raises(ZeroDivisionError):
        await lane.start(lambda: 1 / 0).result
    await lane.idle()
    lane.close()


async def test_a_place_is_taken_until_the_thread_ends_not_until_the_caller_gives_up() -> None:
    lane, go, running = Lane("t", 1, 1), threading.Event(), threading.Event()

    def work() -> None:
        running.set()
        go.wait()

    job = lane.start(work)
    await asyncio.to_thread(running.wait)
    waiting = lane.start(lambda: None)

    assert (False, True) == (job.forget(), waiting.forget())
    job.result.cancel()
    await asyncio.wait({job.result, waiting.result})
    assert 1 == lane.taken
    go.set()
    await lane.idle()
    lane.close()


async def test_the_load_is_what_ran_and_waited_since_it_was_last_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr("chserver.lane.time.monotonic", lambda: now)
    lane, go = Lane("t", 1, 1), threading.Event()
    now += 4
    idle = lane.load()
    jobs = [lane.start(go.wait).result, lane.start(lambda: True).result]
    now += 1
    both = lane.load()
    now += 1
    go.set()
    await asyncio.gather(*jobs)
    await lane.idle()
    now += 3

    assert (0.0, 2.0, 0.5) == (idle, both, lane.load())
    lane.close()
