from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from access import ReasonCode
from extauthz import server
from extauthz.check import Checked
from extauthz.server import Gate
from spool import SpoolFull


class Answers:
    """A checker that says what it was asked for."""

    def checked(self, message: bytes) -> Checked:
        return Checked(b"checked " + message, b"kept " + message, ReasonCode.RULE_ALLOW, 0)

    def refused(self, reason_code: ReasonCode, _: str, message: bytes = b"") -> Checked:
        return Checked(reason_code.value.encode(), b"kept " + message, reason_code, 0)

    def told(self, checked: Checked) -> bytes:
        return checked.answer


class Kept:
    """A journal that remembers, or fails."""

    def __init__(self, *, required: bool = False, broken: bool = False) -> None:
        self.required = required
        self.entries: list[tuple[str, bytes]] = []
        self._broken = broken

    def add(self, node: str, entry: bytes) -> None:
        assert not self.required
        self.entries.append((node, entry))

    async def durable(self, node: str, entry: bytes) -> None:
        await asyncio.sleep(0)
        if self._broken:
            raise SpoolFull("no room")
        self.entries.append((node, entry))


class Waiting:
    """A context whose client waits so many seconds more; None: for ever."""

    def __init__(self, seconds: float | None = None) -> None:
        self._seconds = seconds

    def time_remaining(self) -> float | None:
        return self._seconds

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return (("user-agent", "envoy"), ("x-gateledger-node", "edge-1"))


def gate(max_concurrent: int, journal: Kept | None = None) -> Gate:
    answers: Any = Answers()
    kept: Any = journal or Kept()
    return Gate(answers, max_concurrent, kept)


async def ask(gate_: Gate, remaining: float | None = None) -> bytes:
    context: Any = Waiting(remaining)
    return await gate_.check(b"x", context)


@pytest.mark.parametrize(
    ("remaining", "expected"),
    [
        pytest.param(None, b"checked x", id="no deadline"),
        pytest.param(0.5, b"checked x", id="in time"),
        pytest.param(0.0, b"deadline_exceeded", id="too late"),
    ],
)
async def test_a_check_that_nobody_waits_for_is_not_worked_on(
    remaining: float | None, expected: bytes
) -> None:
    assert expected == await ask(gate(1), remaining)


async def test_more_checks_than_may_be_in_flight_are_refused_at_once() -> None:
    crowded = gate(3)

    answers = await asyncio.gather(*(ask(crowded) for _ in range(5)))

    assert [b"checked x"] * 3 + [b"overloaded"] * 2 == answers


async def test_room_returns_when_checks_are_answered() -> None:
    crowded = gate(1)

    assert [b"checked x"] * 3 == [await ask(crowded) for _ in range(3)]


async def test_quiet_comes_at_once_where_nobody_asked() -> None:
    await asyncio.wait_for(gate(1).quiet(3600), 10)


async def test_quiet_comes_some_time_after_the_last_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "QUIET_SECONDS", 0.05)
    asked = gate(1)
    await ask(asked)
    before = time.monotonic()

    await asked.quiet(3600)

    assert time.monotonic() - before >= 0.04


async def test_a_client_that_never_stops_asking_does_not_hold_up_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "QUIET_SECONDS", 3600.0)
    asked = gate(1)
    await ask(asked)

    await asyncio.wait_for(asked.quiet(0.01), 10)


@pytest.mark.parametrize("required", [False, True])
async def test_every_answer_is_journalled_with_the_node_that_asked(required: bool) -> None:
    journal = Kept(required=required)
    asked = gate(1, journal)

    assert [b"checked x", b"deadline_exceeded"] == [await ask(asked), await ask(asked, 0.0)]
    assert [("edge-1", b"kept x")] * 2 == journal.entries


async def test_a_decision_that_cannot_be_journalled_is_a_denial_where_the_audit_is_required() -> None:
    journal = Kept(required=True, broken=True)

    assert await ask(gate(1, journal)) == b"audit_unavailable"
