from __future__ import annotations

import asyncio
import json
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from extauthz import decisions, wire
from extauthz.decisions import BEHIND, STOPPED_WHILE_FULL, DecisionJournal, Tally
from extauthz.settings import ExtAuthzSettings
from ledger.framing import framing
from spool import Appender, SpoolError, SpoolFull, sealed_segments

if TYPE_CHECKING:
    from pathlib import Path


def journal(directory: Path, tally: Tally | None = None, **settings: Any) -> DecisionJournal:
    made = ExtAuthzSettings(journal_reserve_bytes=0, **settings)
    return DecisionJournal(directory, made, Tally() if tally is None else tally, structlog.get_logger())


def kept(directory: Path) -> list[tuple[str, list[bytes]]]:
    """Node and entries of each record that was sealed."""
    records = [record for segment in sealed_segments(directory) for record in segment.records()]
    return [
        (
            json.loads(record.origin)["node"],
            [record.payload[start:end] for start, end in framing(record.payload).entries],
        )
        for record in records
    ]


def unsealed(directory: Path) -> bytes:
    (file,) = directory.glob("*.open")
    return file.read_bytes()


def entry(name: str) -> bytes:
    return wire.journal_entry(name.encode(), b"id", 1)


async def test_durable_returns_once_the_decision_is_on_disk(tmp_path: Path) -> None:
    tally = Tally()
    required = journal(tmp_path, tally, audit_required=True)

    await required.durable("edge", entry("a"))

    assert (tally.durable, tally.pending_bytes) == (1, 0)
    assert entry("a") in unsealed(tmp_path)
    await required.close()
    assert kept(tmp_path) == [("edge", [entry("a")])]


async def test_durable_raises_when_the_disk_has_no_room(tmp_path: Path) -> None:
    required = journal(tmp_path, audit_required=True, journal_max_bytes=1024 * 1024)
    large = entry("x" * 1024 * 1024)
    await required.durable("edge", large)

    with pytest.raises(SpoolFull):
        await required.durable("edge", entry("a"))

    await required.close()


async def test_add_never_waits_and_what_does_not_fit_is_counted_as_dropped(tmp_path: Path) -> None:
    tally = Tally()
    soon = journal(tmp_path, tally, journal_pending_max_bytes=64 * 1024)
    large = entry("x" * 30_000)

    for _ in range(3):
        soon.add("edge", large)
    await soon.close()

    assert (tally.durable, tally.dropped[BEHIND]) == (2, 1)
    assert kept(tmp_path) == [("edge", [large, large])]


async def test_without_room_added_decisions_wait_and_at_a_stop_they_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decisions, "_RETRY_SECONDS", 0.02)
    monkeypatch.setattr(decisions, "_GATHER_SECONDS", 0.0)
    tally = Tally()
    soon = journal(tmp_path, tally, journal_max_bytes=1024 * 1024)
    soon.add("edge", entry("x" * 1024 * 1024))
    await asyncio.wait_for(settled(tally, 1), 10)
    soon.add("edge", entry("a"))
    await asyncio.wait_for(refused(soon), 10)

    assert tally.dropped.total() == 0
    await soon.close()
    assert tally.dropped[STOPPED_WHILE_FULL] == 1


async def refused(journal: DecisionJournal) -> None:
    while not journal._trouble:
        await asyncio.sleep(0.01)


async def settled(tally: Tally, durable: int) -> None:
    while tally.durable < durable:
        await asyncio.sleep(0.01)


async def test_many_decisions_share_one_record(tmp_path: Path) -> None:
    required = journal(tmp_path, audit_required=True)
    names = [f"{number:03}" for number in range(100)]

    await asyncio.gather(*(required.durable("edge", entry(name)) for name in names))
    await required.close()

    found = kept(tmp_path)
    assert len(found) < 10
    assert [entry(name) for name in names] == [one for _, entries in found for one in entries]


async def test_what_is_on_disk_is_neither_lost_nor_written_again_with_what_found_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decisions, "_RETRY_SECONDS", 0.02)
    monkeypatch.setattr(decisions, "_GATHER_SECONDS", 0.0)
    monkeypatch.setattr(decisions, "_RECORD_BYTES", 1)
    asked: list[bytes] = []
    append = Appender.append

    def sometimes_full(self: Appender, origin: bytes, payload: bytes) -> Future[None]:
        asked.append(payload)
        if len(asked) in {2, 4}:
            # One is refused at once, the other when it is the disk's turn.
            if len(asked) == 2:
                raise SpoolFull("full")
            refused: Future[None] = Future()
            refused.set_exception(SpoolFull("full"))
            return refused
        return append(self, origin, payload)

    monkeypatch.setattr(Appender, "append", sometimes_full)
    tally = Tally()
    soon = journal(tmp_path, tally)
    for name in "abc":
        soon.add("edge", entry(name))
    await asyncio.wait_for(settled(tally, 3), 10)
    await soon.close()

    assert asked == [entry(name) for name in "abbcc"]
    assert kept(tmp_path) == [("edge", [entry(name)]) for name in "abc"]
    assert (tally.durable, tally.dropped.total(), tally.pending_bytes) == (3, 0, 0)


async def test_decisions_of_several_nodes_stay_apart(tmp_path: Path) -> None:
    soon = journal(tmp_path)
    for name in "abc":
        soon.add("even" if name == "b" else "odd", entry(name))
    await soon.close()

    assert kept(tmp_path) == [("odd", [entry("a"), entry("c")]), ("even", [entry("b")])]


async def test_a_journal_that_failed_is_opened_again_by_itself(tmp_path: Path) -> None:
    other = Appender(tmp_path, segment_bytes=2**20, segment_seconds=60, max_bytes=2**30, reserve_bytes=0)
    required = journal(tmp_path, audit_required=True)
    with pytest.raises(SpoolError):
        await required.durable("edge", entry("a"))
    other.close()

    await required.durable("edge", entry("b"))
    await required.close()

    assert kept(tmp_path) == [("edge", [entry("b")])]


async def test_what_fails_unforeseen_is_told_and_tried_anew_with_what_came_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tally = Tally()
    required = journal(tmp_path, tally, audit_required=True)
    later: list[asyncio.Future[None]] = []

    def defective(*_: object, **__: object) -> Appender:
        loop.call_soon_threadsafe(lambda: later.append(required.durable("edge", entry("b"))))
        monkeypatch.setattr(decisions, "Appender", Appender)
        raise RuntimeError("no more threads")

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(decisions, "Appender", defective)

    with pytest.raises(SpoolError, match="RuntimeError: no more threads; this is a defect"):
        await asyncio.wait_for(required.durable("edge", entry("a")), 10)
    await asyncio.wait_for(later[0], 10)
    await required.close()
    assert kept(tmp_path) == [("edge", [entry("b")])]
    assert tally.pending_bytes == 0


async def test_who_stops_waiting_takes_nobody_along(tmp_path: Path) -> None:
    required = journal(tmp_path, audit_required=True)
    first = asyncio.ensure_future(required.durable("edge", entry("a")))
    second = asyncio.ensure_future(required.durable("edge", entry("b")))
    await asyncio.sleep(0)
    first.cancel()

    await second
    await required.close()

    assert kept(tmp_path) == [("edge", [entry("a"), entry("b")])]
