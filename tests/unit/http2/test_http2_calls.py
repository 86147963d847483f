"""gRPC over the server: calls, their refusals, windows, floods, feeds and the end."""

from __future__ import annotations

import asyncio
import struct
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from http2_peer import ECHO, HEADERS, Peer, echo, goaway_code, prefixed, reset_codes, with_path

from extauthz.http2 import frames
from extauthz.http2.frames import ErrorCode, frame
from extauthz.http2.health import Health
from extauthz.http2.limits import Limits
from extauthz.http2.method import Method
from extauthz.http2.status import RpcError, Status

if TYPE_CHECKING:
    from collections.abc import Callable

END = frames.END_STREAM
SMALL = Limits(
    message_bytes=1000, header_list_bytes=400, partial_bytes=3000, streams=4, idle_frames=50, continuations=3
)


def fails(*_: object) -> bytes:
    raise RpcError(Status.NOT_FOUND, "not here: 100 %\n")


def breaks(*_: object) -> bytes:
    raise ValueError("a secret")


METHODS = {ECHO: Method(echo), "/t.S/Fails": Method(fails), "/t.S/Breaks": Method(breaks)}


def data(payload: bytes, stream: int = 1, flags: int = END) -> bytes:
    return frame(frames.DATA, flags, stream, payload)


def test_a_call_is_answered_with_headers_a_message_and_trailers() -> None:
    peer = Peer()

    found = peer.send(peer.call(1, b"hello"))

    assert [(f.kind, f.flags) for f in found] == [(1, 4), (0, 0), (1, 5)]
    headers, body = peer.answer(found, 1)
    assert headers == {
        ":status": "200",
        "content-type": "application/grpc",
        "grpc-accept-encoding": "identity",
        "grpc-status": "0",
    }
    assert body == prefixed(b"echo hello")
    assert not peer.connection.streams


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        pytest.param(with_path("/t.S/None"), prefixed(b""), {"grpc-status": "12"}, id="no such method"),
        pytest.param(with_path("/t.S/Fails"), prefixed(b""),
                     {"grpc-status": "5", "grpc-message": "not here: 100 %25%0A"}, id="a method's refusal"),
        pytest.param(with_path("/t.S/Breaks"), prefixed(b""),
                     {"grpc-status": "13", "grpc-message": "the method failed"}, id="a method's mistake"),
        pytest.param(HEADERS, b"", {"grpc-status": "12"}, id="no message"),
        pytest.param(HEADERS, prefixed(b"a") * 2, {"grpc-status": "12"}, id="two messages"),
        pytest.param(HEADERS, prefixed(b"abc")[:-1], {"grpc-status": "13"}, id="a message cut off"),
        pytest.param(HEADERS, b"\0\0", {"grpc-status": "13"}, id="a prefix cut off"),
        pytest.param(HEADERS, b"\1" + prefixed(b"a")[1:], {"grpc-status": "13"}, id="compressed without encoding"),
        pytest.param([*HEADERS, ("grpc-encoding", "gzip")], b"\1" + prefixed(b"a")[1:], {"grpc-status": "12"},
                     id="compressed"),
        pytest.param([*HEADERS, ("grpc-encoding", "gzip")], prefixed(b"a"), {"grpc-status": "0"},
                     id="could be compressed but is not"),
        pytest.param(HEADERS, b"\7" + prefixed(b"a")[1:], {"grpc-status": "13"}, id="a flag that is none"),
        pytest.param([*HEADERS, ("grpc-timeout", "1 s")], prefixed(b"a"), {"grpc-status": "13"}, id="a bad timeout"),
        pytest.param([(":method", "GET"), *HEADERS[1:]], b"", {":status": "405"}, id="GET"),
        pytest.param(HEADERS[:4], prefixed(b"a"), {":status": "415"}, id="no content-type"),
        pytest.param([*HEADERS[:4], ("content-type", "application/grpc-web")], prefixed(b"a"), {":status": "415"},
                     id="another content-type"),
        pytest.param([*HEADERS[:4], ("content-type", "application/grpc+proto")], prefixed(b"a"), {"grpc-status": "0"},
                     id="a content-type with its encoding"),
        pytest.param([*HEADERS, ("x-large", "y" * 500)], prefixed(b"a"), {"grpc-status": "8"}, id="large headers"),
        pytest.param(HEADERS, prefixed(b"x" * 1001), {"grpc-status": "8"}, id="a large message"),
    ],
)  # fmt: skip
def test_each_refusal_has_its_status(
    headers: list[tuple[str, str]], body: bytes, expected: dict[str, str]
) -> None:
    peer = Peer(METHODS, SMALL)

    found, _ = peer.answer(peer.send(peer.headers(1, headers), data(body)), 1)

    assert expected.items() <= found.items()
    assert not peer.connection.streams
    assert peer.server.inside == 0
    assert peer.answer(peer.send(peer.call(3)), 3)[0]["grpc-status"] == "0"


def test_a_message_may_come_in_many_frames_and_calls_interleaved() -> None:
    peer = Peer()
    message = prefixed(bytes(range(256)) * 100)
    parts = [message[at : at + 1000] for at in range(0, len(message), 1000)]

    sent = [peer.headers(1), peer.headers(3)]
    sent += [data(part, stream, 0) for part in parts for stream in (1, 3)]
    found = peer.send(*sent, data(b"", 1), data(b"", 3))

    bodies = [peer.answer([f for f in found if f.stream == stream], stream)[1] for stream in (1, 3)]
    assert bodies == [prefixed(b"echo " + message[5:])] * 2
    assert peer.connection._partial == 0


def test_what_looks_like_a_whole_message_behind_a_part_is_no_message() -> None:
    peer = Peer()

    found = peer.send(peer.headers(1), data(prefixed(b"ab")[:-1], 1, 0), data(prefixed(b"c")))

    assert peer.answer(found, 1)[0]["grpc-status"] == "12"
    assert peer.connection._partial == 0


def test_parts_of_calls_that_ended_early_take_no_room() -> None:
    peer = Peer(METHODS, SMALL)
    for number in range(1, 21, 2):
        peer.send(peer.headers(number), data(prefixed(bytes(900))[:-1], number, 0))
        peer.send(frames.reset(number, ErrorCode.CANCEL))

    found = peer.send(peer.headers(21), data(prefixed(b"a")[:2], 21, 0), data(prefixed(b"a")[2:], 21))

    assert peer.answer(found, 21)[1] == prefixed(b"echo a")


def test_a_frame_is_no_larger_than_allowed_however_wide_the_windows() -> None:
    answer = bytes(range(256)) * 400
    peer = Peer({ECHO: Method(lambda *_: answer)}, greet=False)
    peer.greet(struct.pack(">HI", frames.INITIAL_WINDOW_SIZE, frames.MAX_WINDOW))

    found = peer.send(frames.window_update(0, 2**30), peer.call(1))

    assert max(len(f.payload) for f in found) == frames.MAX_FRAME_BYTES
    assert peer.answer(found, 1)[1] == prefixed(answer)


def test_windows_are_widened_before_they_are_used_up() -> None:
    peer = Peer(limits=Limits(stream_window=100_000, connection_window=200_000))
    found = peer.send(peer.headers(1), data(b"\0\0\x09\x89\x68", 1, 0))
    for _ in range(40):
        found += peer.send(data(b"x" * 16_000, 1, 0))

    assert goaway_code(found) is None
    assert {f.stream for f in found if f.kind == frames.WINDOW_UPDATE} == {0, 1}


@pytest.mark.parametrize(
    ("limits", "connection"),
    [
        pytest.param(Limits(stream_window=10_000), False, id="the stream's"),
        pytest.param(Limits(connection_window=65_535), True, id="the connection's"),
    ],
)
def test_more_than_a_window_is_an_error(limits: Limits, connection: bool) -> None:
    # A window that is never widened: the limits here say that half of it is more than all of it.
    peer = Peer(limits=replace(limits, message_bytes=2**30, partial_bytes=2**30))
    if connection:
        peer.server.limits = peer.connection.limits = replace(
            peer.connection.limits, connection_window=-(2**31)
        )
    found = peer.send(peer.headers(1), *(data(b"\0\x10\0\0\0" + b"x" * 16_000, 1, 0) for _ in range(5)))

    code = goaway_code(found) if connection else reset_codes(found)[1]
    assert code is ErrorCode.FLOW_CONTROL_ERROR


@pytest.mark.parametrize("step", [1, 7, 1000, 100_000])
def test_an_answer_waits_for_the_peers_windows(step: int) -> None:
    peer = Peer(greet=False)
    peer.greet(struct.pack(">HI", frames.INITIAL_WINDOW_SIZE, 0))
    found = peer.send(peer.call(1, b"y" * 200), peer.call(3, b"z" * 200))
    assert {f.kind for f in found} == {frames.HEADERS}

    for _ in range(0, 410, step):
        for stream in (1, 3):
            found += peer.send(frames.window_update(stream, step))

    for stream, letter in ((1, b"y"), (3, b"z")):
        headers, body = peer.answer([f for f in found if f.stream == stream], stream)
        assert body == prefixed(b"echo " + letter * 200)
        assert headers["grpc-status"] == "0"
    assert not peer.connection.streams
    assert not peer.connection.send.blocked


def test_answers_share_the_connections_window_and_settings_may_open_it() -> None:
    peer = Peer()
    large = {ECHO: Method(lambda *_: b"x" * 60_000)}
    peer.server.methods = {path.encode(): method for path, method in large.items()}
    found = peer.send(peer.call(1), peer.call(3))
    sent = sum(len(f.payload) for f in found if f.kind == frames.DATA)
    assert sent == 65_535

    found += peer.send(frames.window_update(0, 1_000_000))

    assert {s: len(peer.answer([f for f in found if f.stream == s], s)[1]) for s in (1, 3)} == {
        1: 60_005,
        3: 60_005,
    }


def test_a_reset_while_the_answer_waits_frees_it() -> None:
    peer = Peer(greet=False)
    peer.greet(struct.pack(">HI", frames.INITIAL_WINDOW_SIZE, 0))
    peer.send(peer.call(1))

    peer.send(frames.reset(1, ErrorCode.CANCEL))

    assert not peer.connection.streams
    assert not peer.connection.send.blocked
    assert peer.server.counts.cancelled == 1


def test_too_many_streams_are_refused_so_that_they_may_be_tried_elsewhere() -> None:
    peer = Peer(limits=SMALL)

    found = peer.send(*(peer.headers(number) for number in range(1, 13, 2)))

    assert reset_codes(found) == {9: ErrorCode.REFUSED_STREAM, 11: ErrorCode.REFUSED_STREAM}


def test_all_that_came_in_part_together_is_bounded() -> None:
    peer = Peer(limits=replace(SMALL, streams=100))
    part = b"\0\0\0\x03\xe8" + b"x" * 900

    found = [f for n in range(1, 9, 2) for f in peer.send(peer.headers(n), data(part, n, 0))]

    assert peer.answer([f for f in found if f.stream == 7], 7)[0]["grpc-status"] == "8"
    assert reset_codes(found) == {7: ErrorCode.NO_ERROR}


@pytest.mark.parametrize(
    "flood",
    [
        pytest.param(lambda p, n: p.headers(2 * n + 1) + frames.reset(2 * n + 1, ErrorCode.CANCEL), id="rapid reset"),
        pytest.param(lambda *_: frame(frames.SETTINGS, 0, 0), id="settings"),
        pytest.param(lambda *_: frame(frames.PING, 0, 0, b"x" * 8), id="pings"),
        pytest.param(lambda *_: frames.window_update(0, 1), id="window updates"),
        pytest.param(lambda p, n: (b"" if n else p.headers(1)) + data(b"", 1, 0), id="empty data"),
        pytest.param(lambda p, n: (b"" if n else p.headers(1)) + data(b"\0", 1, 0), id="tiny data"),
        pytest.param(lambda *_: frame(frames.PRIORITY, 0, 3, b"\0" * 5), id="priorities"),
        pytest.param(lambda *_: frame(0x77, 0, 0, b""), id="unknown frames"),
        pytest.param(lambda p, n: p.headers(2 * n + 1), id="streams beyond the limit"),
        pytest.param(lambda p, n: p.call(1) if not n else data(b"", 1), id="data on closed streams"),
    ],
)  # fmt: skip
def test_frames_that_get_nothing_done_end_the_connection(flood: Callable[[Peer, int], bytes]) -> None:
    peer = Peer(limits=SMALL)

    codes = []
    for number in range(200):
        codes.append(goaway_code(peer.send(flood(peer, number))))
        if codes[-1] is not None:
            break

    assert codes[-1] is ErrorCode.ENHANCE_YOUR_CALM
    assert len(codes) > 30


def test_frames_beside_answers_are_no_flood() -> None:
    peer = Peer(limits=SMALL)

    for number in range(1, 2001, 2):
        found = peer.send(peer.call(number), frames.window_update(0, 100), frame(frames.PING, 0, 0, b"x" * 8))
        assert peer.answer(found, number)[0]["grpc-status"] == "0"


@pytest.mark.parametrize(
    ("count", "size"), [pytest.param(10, 1, id="many"), pytest.param(3, 16_000, id="large")]
)
def test_a_block_without_an_end_ends_the_connection(count: int, size: int) -> None:
    peer = Peer(limits=replace(SMALL, continuations=5))

    found = peer.send(
        peer.headers(1, flags=0), *(frame(frames.CONTINUATION, 0, 1, b"\0" * size) for _ in range(count))
    )

    assert goaway_code(found) is ErrorCode.ENHANCE_YOUR_CALM


@pytest.mark.parametrize(
    ("limits", "act", "expected"),
    [
        pytest.param(Limits(greeting_seconds=-1), b"", "SETTINGS_TIMEOUT", id="no greeting"),
        pytest.param(Limits(idle_seconds=-1), b"g", "NO_ERROR", id="idle"),
        pytest.param(Limits(request_seconds=-1), b"gh", "CANCEL", id="a call that stays open"),
    ],
)
async def test_who_dawdles_is_let_go(limits: Limits, act: bytes, expected: str) -> None:
    peer = Peer(limits=limits, greet=b"g" in act)
    if b"h" in act:
        peer.send(peer.headers(1))
    peer.seen()

    peer.server._sweep()

    found = peer.seen()
    code = reset_codes(found).get(1) if b"h" in act else goaway_code(found)
    assert code is not None
    assert code.name == expected
    assert peer.server._sweeper is not None
    peer.server._sweeper.cancel()


async def test_a_call_that_waits_for_its_answer_keeps_its_connection() -> None:
    answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    peer = Peer({ECHO: Method(lambda *_: answer)}, Limits(idle_seconds=-1))
    peer.send(peer.call(1))

    peer.server._sweep()

    assert not peer.wire.closed
    answer.cancel()
    assert peer.server._sweeper is not None
    peer.server._sweeper.cancel()


@pytest.mark.parametrize(("patience", "aborted"), [(1_000, False), (-1, True)])
async def test_who_does_not_leave_after_a_farewell_is_cut_off(patience: float, aborted: bool) -> None:
    peer = Peer(limits=Limits(farewell_seconds=patience))
    assert goaway_code(peer.send(data(b"", 0))) is ErrorCode.PROTOCOL_ERROR

    peer.server._sweep()

    assert peer.wire.aborted is aborted
    assert peer.server._sweeper is not None
    peer.server._sweeper.cancel()


def test_a_server_takes_no_more_connections_than_its_limit() -> None:
    first = Peer(limits=Limits(connections=1))

    second = Peer(server=first.server, greet=False)

    assert second.wire.aborted
    assert first.server.counts.connections_refused == 1
    second.connection.connection_lost(None)
    first.connection.connection_lost(None)
    assert not first.server.connections


def test_calls_beyond_the_limit_are_turned_away_at_once() -> None:
    waiting: list[asyncio.Future[bytes]] = []
    loop = asyncio.new_event_loop()

    def waits(*_: object) -> asyncio.Future[bytes]:
        waiting.append(loop.create_future())
        return waiting[-1]

    crowded = Method(waits, crowded=lambda *_: b"crowded", limit=2)
    peer = Peer({ECHO: crowded, "/t.S/Plain": Method(waits, limit=2)})

    found = peer.send(
        *(peer.call(number) for number in (1, 3, 5)), peer.call(7, headers=with_path("/t.S/Plain"))
    )

    assert peer.answer([f for f in found if f.stream == 5], 5)[1] == prefixed(b"crowded")
    assert peer.answer([f for f in found if f.stream == 7], 7)[0]["grpc-status"] == "8"
    for future in waiting:
        future.set_result(b"late")
    loop.run_until_complete(asyncio.sleep(0))
    assert {f.stream for f in peer.seen()} == {1, 3}
    assert peer.server.inside == 0
    loop.close()


def test_a_call_that_was_reset_meanwhile_leaves_room() -> None:
    loop = asyncio.new_event_loop()
    future = loop.create_future()
    peer = Peer({ECHO: Method(lambda *_: future)})
    peer.send(peer.call(1), frames.reset(1, ErrorCode.CANCEL))

    future.set_result(b"nobody waits")
    loop.run_until_complete(asyncio.sleep(0))

    assert not peer.seen()
    assert peer.server.inside == 0
    loop.close()


def test_deadline_and_metadata_reach_the_method() -> None:
    seen: list[Any] = []
    peer = Peer({ECHO: Method(lambda _, metadata, deadline: seen.append((metadata, deadline)) or b"")})  # type: ignore[func-returns-value]
    before = peer.connection.heard

    peer.send(
        peer.call(1, headers=[*HEADERS, ("grpc-timeout", "1500m"), ("x-node", "edge"), ("x-node", "b")])
    )
    peer.send(peer.call(3))

    assert seen[0][0][b"x-node"] == b"edge,b"
    assert 1.0 < seen[0][1] - before < 60
    assert seen[1][1] is None


async def test_health_is_told_however_many_calls_are_inside() -> None:
    loop = asyncio.get_running_loop()
    many = 1_001
    methods = {ECHO: Method(lambda *_: loop.create_future(), limit=2 * many), **Health(("a.B",)).methods()}
    peer = Peer(methods)
    peer.send(*(peer.call(2 * number + 1) for number in range(many)))
    last = 2 * many + 1

    found = peer.send(peer.call(last, b"", with_path("/grpc.health.v1.Health/Check")))
    for _ in range(many):
        # The calls have their turns, some at a time.
        await asyncio.sleep(0)
        found += peer.seen()

    assert peer.answer(found, last)[0]["grpc-status"] == "0"


def test_health_is_told_and_watched() -> None:
    health = Health(("a.B",))
    peer = Peer(health.methods())
    check, watch = "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"

    def ask(stream: int, path: str, name: bytes) -> Any:
        message = b"\x0a" + bytes((len(name),)) + name if name else b""
        return peer.answer(peer.send(peer.call(stream, message, with_path(path))), stream)

    assert ask(1, check, b"")[1] == prefixed(b"\x08\x02")
    assert ask(3, check, b"none")[0]["grpc-status"] == "5"
    assert ask(5, watch, b"a.B")[1] == prefixed(b"\x08\x02")
    assert ask(7, watch, b"none")[1] == prefixed(b"\x08\x03")
    assert ask(9, check, b"\xff" * 100)[0]["grpc-status"] == "5"

    health.set(serving=True)
    told = [f for f in peer.seen() if f.stream == 5]
    assert [f.payload for f in told] == [prefixed(b"\x08\x01")]

    peer.send(frames.reset(5, ErrorCode.CANCEL))
    assert len(health.watchers) == 1
    peer.connection.connection_lost(None)
    assert not health.watchers


async def test_a_stop_lets_answers_leave_and_refuses_what_is_new() -> None:
    future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    health = Health(())
    methods = {ECHO: Method(lambda *_: future), **health.methods()}
    peer = Peer(methods)
    peer.send(peer.call(1), peer.call(3, b"", with_path("/grpc.health.v1.Health/Watch")))

    stopping = asyncio.create_task(peer.server.stop(30))
    await asyncio.sleep(0)
    found = peer.seen()
    refused = peer.send(peer.call(5))
    assert not peer.wire.closed
    future.set_result(b"done")
    await asyncio.sleep(0)
    found += peer.seen()
    while not peer.wire.closed:
        await asyncio.sleep(0.001)
    peer.connection.connection_lost(None)
    await asyncio.wait_for(stopping, 30)

    last = [int.from_bytes(f.payload[:4]) for f in found if f.kind == frames.GOAWAY]
    assert (goaway_code(found), last) == (ErrorCode.NO_ERROR, [3])
    assert reset_codes(refused) == {5: ErrorCode.REFUSED_STREAM}
    assert peer.answer([f for f in found if f.stream == 1], 1)[1] == prefixed(b"done")
    assert peer.answer([f for f in found if f.stream == 3], 3)[0]["grpc-status"] == "14"


def test_a_peer_that_does_not_read_is_not_read_from() -> None:
    peer = Peer()
    peer.wire.reading = True

    peer.connection.pause_writing()
    assert not peer.wire.reading

    peer.connection.resume_writing()
    assert peer.wire.reading
