"""The parent's side, in this process, with real workers: what it does about one that hangs, or cannot take a policy."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from policy_texts import SAMPLE

from extauthz.engine import PolicyError, Source
from extauthz.settings import ExtAuthzSettings
from extauthz.workers import member
from extauthz.workers.fleet import Fleet
from extauthz.workers.member import Member
from spool import SpoolError

if TYPE_CHECKING:
    from extauthz.workers.channel import Message

MODEL = (SAMPLE / "model.conf").read_bytes()
SECONDS = 60


def source(policy: bytes) -> Source:
    return Source("model.conf", "policy.csv", MODEL, policy)


FIRST = source(b"p, alice, orders, /orders/:id, GET, allow\n")
SECOND = source(b"p, alice, orders, /orders/:id, GET, deny\n")


async def kept() -> None:
    """The journal took it."""


async def broken() -> None:
    raise SpoolError("the disk is full")


def pid_of(fleet: Fleet, number: int) -> int:
    pid = fleet.members[number].pid
    assert pid
    return pid


async def hung_while_joining(fleet: Fleet, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Back when the worker's next process stands still, asked to load the policy: it will not answer."""
    asked = asyncio.Event()
    ask = Member.ask

    async def stopped_first(one: Member, what: str, *more: Any) -> Message:
        if what == "prepare" and one.number == number and not asked.is_set():
            os.kill(pid_of(fleet, number), signal.SIGSTOP)
            asked.set()
        return await ask(one, what, *more)

    monkeypatch.setattr(Member, "ask", stopped_first)
    await asked.wait()


def versions(fleet: Fleet) -> list[str | None]:
    return [one.version for one in fleet.members]


async def test_what_decides_decides_in_every_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ExtAuthzSettings(
        listen=(f"unix:{tmp_path}/a.sock",), workers=2, decisions=tmp_path / "decisions"
    )
    fleet = Fleet(settings, "error", structlog.get_logger())
    try:
        async with asyncio.timeout(SECONDS):
            await fleet.open()
            await fleet.take(FIRST, kept)
            await fleet.start()
            assert versions(fleet) == [FIRST.version] * 2

            with pytest.raises(SpoolError):
                await fleet.take(SECOND, broken)
            with pytest.raises(PolicyError, match="arity"):
                await fleet.take(source(b"p, alice\n"), kept)
            await fleet.refresh()
            assert versions(fleet) == [FIRST.version] * 2
            # From here on a worker that gets no processor for so long is replaced too; the law below holds then as well.
            monkeypatch.setattr(member, "HUNG_SECONDS", 2)
            hung = fleet.members[1].pid
            assert hung
            os.kill(hung, signal.SIGSTOP)
            await fleet.refresh()
            # It hangs, or is gone for that already.
            assert "worker 1 does not" in str(fleet.readiness()[1]["degraded"])
            # It cannot load the policy: nobody decides by it before the one that hangs is gone.
            await fleet.take(SECOND, kept)
            while fleet.members[1].pid == hung or not all(one.serving for one in fleet.members):
                # Another process comes up: there is no event of this one to wait for.
                await asyncio.sleep(0.02)

            assert versions(fleet) == [SECOND.version] * 2
            assert fleet.members[1].restarts >= 1

            # One that hangs while it is brought to the policy of the others holds nobody up either.
            fleet.members[1].kill()
            await hung_while_joining(fleet, 1, monkeypatch)
            await fleet.take(FIRST, kept)
            while not all(one.serving for one in fleet.members):
                # As above.
                await asyncio.sleep(0.02)

            assert versions(fleet) == [FIRST.version] * 2
    finally:
        await fleet.stop()

    assert [one.pid for one in fleet.members] == [None, None]
