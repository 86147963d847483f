"""How long a flowing body may stand still, and what becomes of its pipe."""

from __future__ import annotations

import asyncio
import select
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

import pytest
from starlette.requests import ClientDisconnect

from chserver import flow
from chserver.app import _fed
from chserver.flow import Flow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from chserver.arrival import Rest
    from chserver.query import Answer

BEGIN = bytes(3 << 19)
MORE = b"more" * 1000


class Coming:
    """A rest that has not been received yet, all of it from a socket."""

    def __init__(self, source: socket.socket, left: int) -> None:
        self._source = source
        self.left = left

    def begun(self) -> bytearray:
        return bytearray()

    @asynccontextmanager
    async def moving(self) -> AsyncIterator[int]:
        yield self._source.fileno()


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


def flowing(begin: bytes, source: socket.socket, left: int) -> Flow:
    return Flow(begin, cast("Rest", Coming(source, left)))


def read(of: Flow) -> bytes:
    """As the engine does, by the file's number, to the end."""
    with open(f"/proc/self/fd/{of.file.fileno()}", "rb") as file:  # noqa: PTH123 - what the engine is given
        return file.read()


async def test_a_body_that_stands_still_is_given_up_and_the_engine_finds_an_end(
    ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "_STALL_SECONDS", 0.01)
    body = flowing(b"begin", ends[0], 10)
    with pytest.raises(ClientDisconnect):
        await body.feed()

    with body.file:
        assert b"begin" == read(body)


async def test_a_statement_may_wait_for_its_turn_longer_than_a_body_may_stand_still(
    ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "_STALL_SECONDS", 0.01)
    ends[1].sendall(MORE)
    body = flowing(BEGIN, ends[0], len(MORE))
    with body.file:
        feeding = asyncio.create_task(body.feed())
        await asyncio.sleep(0.1)  # Ten times the limit: a turn that comes late is made by nothing but time.
        found = await asyncio.to_thread(read, body)
        await feeding

    assert BEGIN + MORE == found


async def test_a_query_that_is_cancelled_ends_the_pipe_and_takes_nothing_from_it(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    body = flowing(b"begin", ends[0], 10)
    answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    request = asyncio.create_task(_fed(body, answer))
    while not has_some(body):
        await asyncio.sleep(0)  # The feeder's turn, until its beginning is in the pipe, which tells nobody.
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    with body.file:
        assert b"begin" == read(body)


async def test_what_an_ended_query_has_left_is_thrown_away(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ends[1].sendall(MORE + b"next request")
    body = flowing(BEGIN, ends[0], len(MORE))
    answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    answer.set_exception(ValueError("at once"))
    with body.file, pytest.raises(ValueError, match="at once"):
        await _fed(body, answer)

    assert b"next request" == ends[0].recv(1000)


def has_some(body: Flow) -> bool:
    return bool(select.select([body.file], [], [], 0)[0])
