from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
import structlog
from http2_peer import HEADERS, Peer

from access import ReasonCode
from extauthz import gate as gate_module
from extauthz.check import Checked
from extauthz.fast import FastServer
from extauthz.gate import Gate
from extauthz.server import Handler
from extauthz.settings import ExtAuthzSettings
from spool import SpoolFull

CHECK = "/envoy.service.auth.v3.Authorization/Check"


class Answers:
    """A checker that says what it was asked for, and counts what was told."""

    def __init__(self) -> None:
        self.counted: list[ReasonCode] = []

    def observe(self, reason_code: ReasonCode, nanoseconds: int) -> None:
        assert nanoseconds > 0
        self.counted.append(reason_code)

    def checked(self, message: bytes) -> Checked:
        return b"checked " + message, b"kept " + message, ReasonCode.RULE_ALLOW, 0

    def refused(self, reason_code: ReasonCode, _: str, message: bytes = b"") -> Checked:
        return reason_code.value.encode(), b"kept " + message, reason_code, 0

    def told(self, checked: Checked) -> bytes:
        self.observe(checked[2], 1)
        return checked[0]


class Kept:
    """A journal that remembers, fails, or never comes to an end."""

    def __init__(self, *, required: bool = False, broken: bool = False, slow: bool = False) -> None:
        self.required = required
        self.entries: list[tuple[str, bytes]] = []
        self._broken = broken
        self._slow = slow

    def add(self, node: str, entry: bytes) -> None:
        # A refusal of the gate's own may be written later, an answer of the checker's may not.
        assert not self.required or entry == b"kept "
        self.entries.append((node, entry))

    def durable(self, node: str, entry: bytes) -> asyncio.Future[None]:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._broken:
            done.set_exception(SpoolFull("no room"))
        elif not self._slow:
            self.entries.append((node, entry))
            done.set_result(None)
        return done


class Waiting:
    """A grpcio context whose client waits so many seconds more; None: for ever."""

    def __init__(self, seconds: float | None = None) -> None:
        self._seconds = seconds

    def time_remaining(self) -> float | None:
        return self._seconds

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return (("user-agent", "envoy"), ("x-gateledger-node", "edge-1"))


def gate(journal: Kept | None = None, checker: Answers | None = None, **settings: Any) -> Gate:
    answers: Any = checker or Answers()
    kept: Any = journal or Kept()
    return Gate(answers, ExtAuthzSettings(**settings), kept)


class ByGrpcio:
    """Checks through the handler that grpcio calls."""

    def __init__(self, asked: Gate) -> None:
        self.handler = Handler(asked)

    async def ask(self, count: int, message: bytes, remaining: float | None) -> list[bytes]:
        context: Any = Waiting(remaining)
        return list(await asyncio.gather(*(self.handler.check(message, context) for _ in range(count))))


class ByFast:
    """Checks over HTTP/2, all in one read."""

    def __init__(self, asked: Gate) -> None:
        settings = ExtAuthzSettings(max_concurrent=asked.max_concurrent)
        self.peer = Peer(server=FastServer(asked, settings, structlog.get_logger()).server)
        self.number = 1

    async def ask(self, count: int, message: bytes, remaining: float | None) -> list[bytes]:
        headers = [(name, CHECK if name == ":path" else value) for name, value in HEADERS]
        headers.append(("x-gateledger-node", "edge-1"))
        if remaining is not None:
            headers.append(("grpc-timeout", f"{remaining * 1000:.0f}m"))
        numbers = [self.number + 2 * more for more in range(count)]
        self.number += 2 * count
        found = self.peer.send(*(self.peer.call(number, message, headers) for number in numbers))
        until = time.monotonic() + 30
        while self.peer.connection.streams and time.monotonic() < until:
            await asyncio.sleep(0.001)
            found += self.peer.seen()
        return [
            self.peer.answer([frame for frame in found if frame.stream == number], number)[1][5:]
            for number in numbers
        ]


Way = type[ByGrpcio] | type[ByFast]
both = pytest.mark.parametrize("way", [pytest.param(ByGrpcio, id="grpcio"), pytest.param(ByFast, id="fast")])


async def ask(way: Way, asked: Gate, count: int = 1, remaining: float | None = None) -> list[bytes]:
    return await way(asked).ask(count, b"x", remaining)


@both
@pytest.mark.parametrize(
    ("remaining", "expected"),
    [
        pytest.param(None, b"checked x", id="no deadline"),
        pytest.param(30.0, b"checked x", id="in time"),
        pytest.param(0.0, b"deadline_exceeded", id="too late"),
    ],
)
async def test_a_check_that_nobody_waits_for_is_not_worked_on(
    way: Way, remaining: float | None, expected: bytes
) -> None:
    assert [expected] == await ask(way, gate(), 1, remaining)


@both
async def test_room_returns_when_checks_are_answered(way: Way) -> None:
    crowded = way(gate(max_concurrent=1))

    assert [b"checked x"] * 3 == [(await crowded.ask(1, b"x", None))[0] for _ in range(3)]


async def test_more_checks_than_may_be_in_flight_are_refused_at_once() -> None:
    answers = await ask(ByGrpcio, gate(max_concurrent=3), 5)

    assert [b"checked x"] * 3 + [b"overloaded"] * 2 == answers


@both
async def test_more_checks_than_may_wait_for_the_journal_are_refused_at_once(way: Way) -> None:
    journal = Kept(required=True, slow=True)
    journal_of_refusals = Kept(required=True)

    def durable(node: str, entry: bytes) -> asyncio.Future[None]:
        # Refusals say nothing of the request: they are kept at once here, so that their order shows.
        return Kept.durable(journal if entry == b"kept x" else journal_of_refusals, node, entry)

    both_journals: Any = Kept(required=True)
    both_journals.durable = durable

    answers = await ask(way, gate(both_journals, max_concurrent=3, deadline_seconds=0.05), 5)

    assert [b"deadline_exceeded"] * 3 + [b"overloaded"] * 2 == answers


async def test_all_that_one_read_brings_waits_at_once_over_http2() -> None:
    answers = await ask(ByFast, gate(max_concurrent=3), 5)

    assert [b"checked x"] * 3 + [b"overloaded"] * 2 == answers


@both
async def test_a_check_larger_than_allowed_is_refused_unread(way: Way) -> None:
    asked = way(gate(max_request_bytes=4096))

    assert await asked.ask(1, b"x" * 4097, None) == [b"bad_request"]
    assert await asked.ask(1, b"x" * 4096, None) == [b"checked " + b"x" * 4096]


async def test_quiet_comes_at_once_where_nobody_asked() -> None:
    await asyncio.wait_for(gate().quiet(3600), 10)


async def test_quiet_comes_some_time_after_the_last_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_module, "QUIET_SECONDS", 0.5)
    asked = gate()
    # However long the Check takes, it comes after this.
    before = time.monotonic()
    await ask(ByGrpcio, asked)

    await asked.quiet(3600)

    assert time.monotonic() - before >= 0.5


async def test_a_client_that_never_stops_asking_does_not_hold_up_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gate_module, "QUIET_SECONDS", 3600.0)
    asked = gate()
    await ask(ByGrpcio, asked)

    await asyncio.wait_for(asked.quiet(0.01), 10)


@both
@pytest.mark.parametrize("required", [False, True])
async def test_every_answer_is_journalled_with_the_node_that_asked_and_counted(
    way: Way, required: bool
) -> None:
    journal, checker = Kept(required=required), Answers()
    asked = way(gate(journal, checker))

    answers = [(await asked.ask(1, b"x", remaining))[0] for remaining in (None, 0.0)]

    assert [b"checked x", b"deadline_exceeded"] == answers
    assert [("edge-1", b"kept x")] * 2 == journal.entries
    assert checker.counted == [ReasonCode.RULE_ALLOW, ReasonCode.DEADLINE_EXCEEDED]


@both
@pytest.mark.parametrize(
    ("journal", "expected"),
    [
        pytest.param({"broken": True}, b"audit_unavailable", id="that fails"),
        pytest.param({"slow": True}, b"deadline_exceeded", id="that never answers"),
    ],
)
async def test_a_decision_in_a_journal_that_does_not_keep_it_is_a_denial_where_the_audit_is_required(
    way: Way, journal: dict[str, bool], expected: bytes
) -> None:
    kept = Kept(required=True, **journal)
    asked = gate(kept, deadline_seconds=0.02)

    assert await ask(way, asked) == [expected]
    assert kept.entries == ([("edge-1", b"kept ")] if expected == b"deadline_exceeded" else [])
