"""Peers that ask and do not take the answers: what is kept for them is bounded, in bytes and in time."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from http2_peer import ECHO, Peer, goaway_code, prefixed, reset_codes, with_path

from extauthz.http2 import frames
from extauthz.http2.frames import ErrorCode, frame
from extauthz.http2.health import Health
from extauthz.http2.limits import Limits
from extauthz.http2.method import Method
from extauthz.http2.server import Server

LATER = 1_000.0


def window_of(size: int) -> bytes:
    return struct.pack(">HI", frames.INITIAL_WINDOW_SIZE, size)


def blocked(limits: Limits | None = None, answer: int = 100) -> Peer:
    """A peer whose streams have no window."""
    peer = Peer({ECHO: Method(lambda *_: bytes(answer))}, limits, greet=False)
    peer.greet(window_of(0))
    return peer


async def swept(peer: Peer, monkeypatch: pytest.MonkeyPatch, after: float) -> None:
    """The server's look at its connections, so much later."""
    now = time.monotonic() + after
    with monkeypatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: now)
        peer.server._sweep()
    assert peer.server._sweeper is not None
    peer.server._sweeper.cancel()


async def test_a_connection_whose_answers_never_leave_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    peer = blocked()
    peer.send(*(peer.call(number) for number in range(1, 41, 2)))
    await swept(peer, monkeypatch, 0)
    assert not peer.wire.closed

    await swept(peer, monkeypatch, peer.server.limits.blocked_seconds + 1)

    assert goaway_code(peer.seen()) is ErrorCode.ENHANCE_YOUR_CALM
    assert peer.wire.closed
    assert not peer.connection.streams
    assert (peer.connection.send.blocked, peer.connection.send.waiting_bytes) == ({}, 0)


async def test_a_window_that_opens_in_time_is_waited_for_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    peer = blocked()

    for number in range(1, 41, 2):
        peer.send(peer.call(number))
        await swept(peer, monkeypatch, peer.server.limits.blocked_seconds - 5)
        peer.send(frames.window_update(number, 1_000))

    assert not peer.wire.closed
    assert not peer.connection.streams
    assert peer.connection.send.waiting_bytes == 0


async def test_a_watcher_that_takes_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    health = Health(())
    peer = Peer(health.methods(), greet=False)
    peer.greet(window_of(0))
    peer.send(peer.call(1, b"", with_path("/grpc.health.v1.Health/Watch")))
    await swept(peer, monkeypatch, 0)

    await swept(peer, monkeypatch, LATER)

    assert peer.wire.closed
    assert not health.watchers


def test_what_waits_for_windows_is_bounded_in_bytes() -> None:
    peer = blocked(Limits(blocked_bytes=10_000), answer=995)

    found = peer.send(*(peer.call(number) for number in range(1, 41, 2)))

    assert set(reset_codes(found).values()) == {ErrorCode.ENHANCE_YOUR_CALM}
    assert len(reset_codes(found)) == 10
    assert peer.connection.send.waiting_bytes == 10_000
    opened = peer.send(frame(frames.SETTINGS, 0, 0, window_of(65_535)))
    assert sum(f.kind == frames.DATA for f in opened) == 10
    assert (peer.connection.streams, peer.connection.send.waiting_bytes) == ({}, 0)


def test_a_watch_that_is_too_much_at_once_is_no_watch() -> None:
    health = Health(())
    methods = {ECHO: Method(lambda *_: bytes(9_990)), **health.methods()}
    peer = Peer(methods, Limits(blocked_bytes=10_000), greet=False)
    peer.greet(window_of(0))
    peer.send(peer.call(1))

    found = peer.send(peer.call(3, b"", with_path("/grpc.health.v1.Health/Watch")))

    assert reset_codes(found) == {3: ErrorCode.ENHANCE_YOUR_CALM}
    assert not health.watchers


def test_a_reset_makes_room_for_what_waits() -> None:
    peer = blocked(Limits(blocked_bytes=2_000), answer=995)
    peer.send(peer.call(1), peer.call(3))

    found = peer.send(frames.reset(1, ErrorCode.CANCEL), peer.call(5))

    assert not reset_codes(found)
    assert peer.connection.send.waiting_bytes == 2_000


async def test_a_peer_that_reads_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    peer = Peer()
    peer.send(peer.call(1))
    peer.connection.pause_writing()
    await swept(peer, monkeypatch, 0)
    assert not peer.wire.closed

    await swept(peer, monkeypatch, LATER)

    assert peer.wire.aborted
    assert peer.server.counts.faults["connection", "ENHANCE_YOUR_CALM"] == 1


async def test_a_peer_that_reads_again_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    peer = Peer(limits=Limits(idle_seconds=10 * LATER))
    peer.connection.pause_writing()
    peer.connection.resume_writing()

    await swept(peer, monkeypatch, LATER)

    assert not peer.wire.closed
    assert peer.answer(peer.send(peer.call(1)), 1)[1] == prefixed(b"echo x")


def test_what_a_peer_does_not_read_is_bounded_in_bytes() -> None:
    loop = asyncio.new_event_loop()
    futures: list[asyncio.Future[bytes]] = []
    method = Method(lambda *_: futures.append(loop.create_future()) or futures[-1])  # type: ignore[func-returns-value]
    peer = Peer({ECHO: method}, Limits(blocked_bytes=10_000))
    peer.send(*(peer.call(number) for number in range(1, 41, 2)))
    peer.connection.pause_writing()

    for future in futures:
        future.set_result(bytes(1_000))
        loop.run_until_complete(asyncio.sleep(0))

    assert peer.wire.aborted
    assert len(peer.wire.sent) < 12_000
    loop.close()


async def test_over_a_socket_nothing_is_kept_for_a_peer_that_reads_nothing() -> None:
    """The real transport: its buffer fills, reading stops, and the bound holds."""
    server = Server({ECHO: Method(lambda *_: bytes(60_000))}, Limits(blocked_bytes=500_000))
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    address = listener.getsockname()
    await server.listen(listener)
    reader, writer = await asyncio.open_connection(*address)
    peer = Peer(greet=False)
    writer.write(frames.PREFACE + frame(frames.SETTINGS, 0, 0, window_of(2**31 - 1)))
    writer.write(frames.window_update(0, 2**30))
    for number in range(1, 2001, 2):
        writer.write(peer.call(number))

    async def held() -> bool:
        return all(
            one.closing
            or (one.clogged_since is not None and one._transport.get_write_buffer_size() < 3_000_000)
            for one in server.connections
        )

    deadline = time.monotonic() + 30
    while not (server.counts.answers and await held()):
        assert time.monotonic() < deadline
        # What the kernel's buffers take is no event of the server.
        await asyncio.sleep(0.01)
    assert sum(one._transport.get_write_buffer_size() for one in server.connections) < 3_000_000
    writer.close()
    reader.feed_eof()
    await server.stop(0.1)


ROUNDS = 300


@pytest.mark.parametrize(
    "flood",
    [
        pytest.param(lambda p, n: frame(frames.SETTINGS, frames.ACK, 0), id="acknowledgements"),
        pytest.param(lambda p, n: frame(frames.PING, frames.ACK, 0, b"x" * 8), id="answers to no ping"),
        pytest.param(lambda p, n: frame(frames.GOAWAY, 0, 0, bytes(8)), id="goodbyes"),
        pytest.param(lambda p, n: p.headers(1) if not n else frames.window_update(1, 1), id="a stream's windows"),
        pytest.param(lambda p, n: p.call(1) if not n else frames.reset(1, ErrorCode.CANCEL),
                     id="resets of what is over"),
        pytest.param(lambda p, n: p.headers(2 * n + 1) + frames.window_update(2 * n + 1, 0),
                     id="faults that make the server reset"),
        pytest.param(lambda p, n: p.headers(2 * n + 1) + frame(frames.PRIORITY, 0, 2 * n + 1, b"\0" * 4),
                     id="priorities that make the server reset"),
        pytest.param(lambda p, n: p.headers(1) if not n else frame(frames.DATA, frames.PADDED, 1, b"\xff" + bytes(255)),
                     id="data that is all padding"),
    ],
)  # fmt: skip
def test_more_that_gets_nothing_done_ends_the_connection(flood: Callable[[Peer, int], bytes]) -> None:
    peer = Peer(limits=replace(Limits(), idle_frames=50))

    codes = []
    for number in range(ROUNDS):
        codes.append(goaway_code(peer.send(flood(peer, number))))
        if codes[-1] is not None:
            break

    assert codes[-1] is ErrorCode.ENHANCE_YOUR_CALM
    assert len(codes) >= 25


@pytest.mark.parametrize("size", [pytest.param(0, id="empty"), pytest.param(1, id="tiny")])
def test_continuations_without_an_end_are_counted_however_small(size: int) -> None:
    peer = Peer()

    codes = [goaway_code(peer.send(peer.headers(1, flags=0)))]
    while codes[-1] is None and len(codes) < ROUNDS:
        codes.append(goaway_code(peer.send(frame(frames.CONTINUATION, 0, 1, b"\0" * size))))

    assert codes[-1] is ErrorCode.ENHANCE_YOUR_CALM
    assert len(codes) <= peer.server.limits.continuations + 2


def test_bytes_that_come_one_by_one_are_counted() -> None:
    peer = Peer(limits=replace(Limits(), idle_frames=50))
    message = frame(frames.DATA, frames.END_STREAM, 1, prefixed(bytes(500)))
    peer.send(peer.headers(1))

    codes = [goaway_code(peer.send(message[at : at + 1])) for at in range(len(message))]

    assert ErrorCode.ENHANCE_YOUR_CALM in codes
