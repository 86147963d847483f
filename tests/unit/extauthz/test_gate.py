from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from access import ReasonCode
from extauthz import server
from extauthz.server import Gate


class Answers:
    """A checker that says what it was asked for."""

    def check(self, message: bytes) -> bytes:
        return b"checked " + message

    def refuse(self, reason_code: ReasonCode, _: str) -> bytes:
        return reason_code.value.encode()


class Waiting:
    """A context whose client waits so many seconds more; None: for ever."""

    def __init__(self, seconds: float | None = None) -> None:
        self._seconds = seconds

    def time_remaining(self) -> float | None:
        return self._seconds


def gate(max_concurrent: int) -> Gate:
    answers: Any = Answers()
    return Gate(answers, max_concurrent)


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
