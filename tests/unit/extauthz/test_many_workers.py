"""What the parent of several workers does while they come up, without workers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog
from policy_texts import SAMPLE

from extauthz import __main__ as service
from extauthz.deciding import Loaded
from extauthz.journal import Journal
from gateledger.settings import load

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from extauthz.deciding import Keep
    from extauthz.engine import Source


class NeverUp:
    """A Fleet that takes policies, and of which one worker never serves."""

    def __init__(self, taken: asyncio.Queue[bytes]) -> None:
        self.members = ()
        self._taken = taken

    async def open(self) -> list[str]:
        return []

    async def start(self) -> None:
        await asyncio.Event().wait()

    async def stop(self) -> None:
        """Nothing runs."""

    async def refresh(self) -> None:
        """Nobody tells anything."""

    def readiness(self) -> tuple[bool, dict[str, object]]:
        return False, {}

    async def take(self, source: Source, keep: Keep) -> Loaded:
        await keep()
        self._taken.put_nowait(source.policy)
        return Loaded(source.version, "indexed", "", 1, ())

    async def let_go(self) -> None:
        """Nothing was replaced."""


async def test_a_worker_that_never_comes_up_keeps_no_policy_from_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: asyncio.Queue[bytes] = asyncio.Queue()
    monkeypatch.setattr(service, "Fleet", lambda *_: NeverUp(taken))
    policy, beside = tmp_path / "policy.csv", tmp_path / "beside.csv"
    policy.write_text("p, alice, orders, /orders/:id, GET, allow\n")
    own = {"workers": 2, "metrics": "127.0.0.1:0", "model": SAMPLE / "model.conf", "policy": policy}
    settings = load(overrides={"home": tmp_path, "extauthz": own})
    journal, stop = Journal(tmp_path / "spool"), asyncio.Event()
    running = asyncio.create_task(service._many(settings, journal, stop, structlog.get_logger()))
    try:
        first = await asyncio.wait_for(taken.get(), 30)
        beside.write_text("p, alice, orders, /orders/:id, GET, deny\n")
        beside.replace(policy)
        second = await asyncio.wait_for(taken.get(), 30)
    finally:
        stop.set()
        await asyncio.wait_for(running, 30)
        journal.close()

    assert (b"allow" in first, b"deny" in second) == (True, True)
