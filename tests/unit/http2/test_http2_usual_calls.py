"""Calls that are read in one step: the same comes of them as of the same bytes taken frame by frame."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hpack import Encoder
from http2_peer import ECHO, HEADERS, Peer, echo, prefixed, with_path

from extauthz.http2 import frames
from extauthz.http2.frames import ErrorCode, frame
from extauthz.http2.health import Health
from extauthz.http2.hpack import literal
from extauthz.http2.limits import Limits
from extauthz.http2.method import Method

if TYPE_CHECKING:
    from collections.abc import Callable

END = frames.END_STREAM
LIMITS = Limits(message_bytes=1_000, connection_window=70_000, streams=8)
METHODS = {ECHO: Method(echo, limit=6), "/t.S/Other": Method(lambda *_: b"other")}
CASES = 1_500


class Pair:
    """Two peers with a few calls behind them, one of which reads every frame by itself."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.quick, self.slow = (Peer(METHODS, limits) for _ in range(2))
        self.slow.connection._expect = lambda *_: None  # type: ignore[method-assign]
        self.at_once = 0
        take_all = self.quick.server.take_all

        def counted(calls: list[Any], method: Method) -> None:
            self.at_once += len(calls)
            take_all(calls, method)

        self.quick.server.take_all = counted  # type: ignore[method-assign]
        for stream in (1, 3, 5, 7):
            # The first says that the table is gone, the second is remembered, the third known, the fourth expected.
            self.say(self.quick.call(stream))
        assert self.at_once == 1

    def say(self, data: bytes) -> None:
        for peer in (self.quick, self.slow):
            peer.connection.data_received(data)
        assert self.quick.wire.sent == self.slow.wire.sent
        assert state(self.quick) == state(self.slow)


def state(peer: Peer) -> tuple[object, ...]:
    connection, server = peer.connection, peer.server
    streams = {number: (s.ended, s.held, s.room, s.credit) for number, s in connection.streams.items()}
    own = (connection.closing, connection._last, connection._room, connection._rest, list(connection._gaps))
    return server.counts, server.inside, own, streams, connection._idle_frames, connection.send.window


def data(stream: int, payload: bytes, flags: int = END) -> bytes:
    return frame(frames.DATA, flags, stream, payload)


def calls(peer: Peer, first: int, count: int) -> bytes:
    return b"".join(peer.call(first + 2 * place, bytes(300)) for place in range(count))


@pytest.mark.parametrize(
    ("said", "is_usual"),
    [
        pytest.param(lambda p: calls(p, 9, 1), True, id="one call"),
        pytest.param(lambda p: calls(p, 9, 5), True, id="several"),
        pytest.param(lambda p: calls(p, 9, 7), True, id="more than the method takes"),
        pytest.param(lambda p: calls(p, 9, 2)[:-1], True, id="the last one not whole"),
        pytest.param(lambda p: p.call(9, b""), True, id="an empty message"),
        pytest.param(lambda p: p.call(9, bytes(1_000)), False, id="a message whose prefix is too much"),
        pytest.param(lambda p: p.call(9, bytes(1_001)), False, id="a message that is too large"),
        pytest.param(lambda p: p.call(11), False, id="a gap in the numbers"),
        pytest.param(lambda p: p.call(7), False, id="a number that was there"),
        pytest.param(lambda p: p.call(10), False, id="an even number"),
        pytest.param(lambda p: p.call(9 | 2**31), False, id="the reserved bit"),
        pytest.param(lambda p: p.headers(9) + data(11, prefixed(b"x")), False, id="data of another stream"),
        pytest.param(lambda p: p.headers(9) + data(9, prefixed(b"x"), 0), False, id="data that does not end it"),
        pytest.param(lambda p: p.headers(9) + data(9, b"\0" + prefixed(b"x"), END | frames.PADDED), False,
                     id="padding"),
        pytest.param(lambda p: p.headers(9) + data(9, b"\1" + prefixed(b"x")[1:]), False, id="a compressed message"),
        pytest.param(lambda p: p.headers(9) + data(9, prefixed(b"x") + b"y"), False, id="more than the message"),
        pytest.param(lambda p: p.headers(9) + data(9, prefixed(b"xy")[:-1]), False, id="less than the message"),
        pytest.param(lambda p: p.headers(9) + frame(frames.PING, 0, 0, bytes(8)) + data(9, prefixed(b"x")), False,
                     id="another frame between the two"),
        pytest.param(lambda p: p.headers(9) + frame(frames.HEADERS, END | 4, 9, p.block([("a", "b")])), False,
                     id="trailers instead of data"),
        pytest.param(lambda p: p.headers(9, flags=0) + p.call(9), False, id="headers that go on"),
        pytest.param(lambda p: b"".join(p.call(n, b"x", headers=[*HEADERS, ("content-length", "6")]) for n in (9, 11, 13)),
                     False, id="a content-length"),
        pytest.param(lambda p: p.headers(9, flags=4 | END) + data(9, prefixed(b"x")), False, id="headers that end it"),
        pytest.param(lambda p: p.call(9, headers=with_path("/t.S/Other")) + calls(p, 11, 1), True,
                     id="another method between"),
        pytest.param(lambda p: p.call(9, headers=[*HEADERS[:-1], ("te", "trailerZ")]), False,
                     id="headers as long as those before, and wrong"),
        pytest.param(lambda p: calls(p, 9, 2) + frames.reset(11, ErrorCode.CANCEL), True, id="a reset behind"),
        pytest.param(lambda p: calls(p, 9, 2) + frame(frames.PING, 0, 0, bytes(7)), True, id="a mistake behind"),
    ],
)  # fmt: skip
def test_the_same_comes_of_it_as_frame_by_frame(said: Callable[[Peer], bytes], is_usual: bool) -> None:
    pair = Pair()
    before = pair.at_once

    pair.say(said(pair.quick))

    assert (pair.at_once > before) == is_usual


def test_nothing_is_taken_at_once_of_a_connection_that_drains() -> None:
    pair = Pair()
    for peer in (pair.quick, pair.slow):
        peer.connection.drain()

    pair.say(pair.quick.call(9))
    pair.say(pair.quick.call(11))

    resets = [frame.stream for frame in pair.quick.seen() if frame.kind == frames.RST_STREAM]
    assert resets == [9, 11]


def test_a_message_larger_than_a_frame_is_not_taken_at_once() -> None:
    pair = Pair(replace(LIMITS, message_bytes=100_000))

    pair.say(pair.quick.call(9, bytes(frames.MAX_FRAME_BYTES)))

    assert pair.at_once == 1
    assert pair.quick.wire.closed


def test_a_header_frame_that_is_too_large_is_refused_though_its_block_is_known() -> None:
    """The block came in parts before; in Huffman's code of rare bytes it is longer than what it says."""
    pair = Pair(replace(LIMITS, header_block_bytes=40_000, header_list_bytes=40_000))
    encoder = Encoder()
    encoder.header_table_size = 0
    block = [encoder.encode([*HEADERS, (b"x", b"\xf9" * 7_000)], huffman=True) for _ in range(2)][1]
    assert len(block) > frames.MAX_FRAME_BYTES
    for stream in (9, 11):
        parts = frame(frames.HEADERS, 0, stream, block[:16_000])
        pair.say(parts + frame(frames.CONTINUATION, 4, stream, block[16_000:]) + data(stream, prefixed(b"x")))
        assert not pair.quick.wire.closed

    pair.say(frame(frames.HEADERS, 4, 13, block) + data(13, prefixed(b"x")))

    assert pair.quick.wire.closed


def test_behind_the_highest_number_the_reserved_bit_is_no_part_of_the_next() -> None:
    pair = Pair()
    highest = 2**31 - 1
    pair.say(pair.quick.call(highest))

    pair.say(pair.quick.call(highest + 2))

    assert pair.at_once == 1


def test_nothing_is_taken_at_once_while_the_peer_has_a_table() -> None:
    """It may use one until it has acknowledged ours of size zero."""
    quick, slow = (Peer(METHODS, limits=LIMITS, greet=False) for _ in range(2))
    slow.connection._expect = lambda *_: None  # type: ignore[method-assign]
    plain = b"".join(literal(name.encode(), value.encode()) for name, value in HEADERS)
    indexing, larger = plain + b"\x40\x06x-node\x04good", b"\x3f\xe1\x1f" + plain + b"\x40\x06x-node\x05other"
    blocks = [b"\x20" + indexing, indexing, indexing, larger, indexing, plain + b"\xbe"]
    for peer in (quick, slow):
        peer.connection.data_received(frames.PREFACE + frame(frames.SETTINGS, 0, 0))
        for stream, block in zip(range(1, 99, 2), blocks, strict=False):
            peer.connection.data_received(
                frame(frames.HEADERS, 4, stream, block) + data(stream, prefixed(b"x"))
            )

    assert quick.wire.sent == slow.wire.sent
    assert list(quick.connection._hpack._table) == list(slow.connection._hpack._table)
    assert len(quick.connection._hpack._table) == 2


def test_no_more_streams_are_taken_at_once_than_there_may_be() -> None:
    pair = Pair(replace(LIMITS, streams=4))

    pair.say(calls(pair.quick, 9, 12))

    resets = [frame.stream for frame in pair.quick.seen() if frame.kind == frames.RST_STREAM]
    assert resets == [17, 19, 21, 23, 25, 27, 29, 31]


@pytest.mark.parametrize("window", [70_000, 70_001])
def test_windows_are_given_back_as_frame_by_frame(window: int) -> None:
    pair = Pair(replace(LIMITS, connection_window=window))

    for first in range(9, 2_009, 10):
        pair.say(calls(pair.quick, first, 5) + frames.window_update(0, 5_000))

    assert pair.at_once > 900


def test_a_window_is_given_back_at_the_very_byte_at_which_half_of_it_is_used() -> None:
    pair = Pair(replace(LIMITS, connection_window=70_001))
    # Each takes five bytes more; the four calls before took six.
    sizes = [994] * 35 + [7]
    assert 70_001 - sum(sizes) - 5 * len(sizes) - 4 * 6 == 70_001 // 2

    for place, size in enumerate(sizes):
        pair.say(pair.quick.call(9 + 2 * place, bytes(size)))

    assert pair.quick.connection._room == 70_001


def test_bytes_that_differ_somewhere_give_what_they_give_frame_by_frame() -> None:
    chance = random.Random(6)
    at_once = 0
    for _ in range(CASES):
        pair = Pair()
        said = bytearray(calls(pair.quick, 9, chance.randrange(1, 6)))
        for _ in range(chance.choice((0, 1, 1, 2))):
            # Frames' heads and prefixes are what matters; messages are zeros.
            at = chance.choice([at for at, byte in enumerate(said) if byte] or [0])
            said[max(0, at + chance.randrange(-3, 4)) % len(said)] = chance.choice((0, 1, 4, 5, 8, 9, 255))
        cut = chance.randrange(len(said) + 1)
        before = pair.at_once
        pair.say(bytes(said[:cut]))
        pair.say(bytes(said[cut:]))
        at_once += pair.at_once - before

    assert at_once > CASES


def test_a_call_whose_answer_waits_has_a_window_of_its_own() -> None:
    """Calls of one read share their state until something happens to one of them."""
    pair = Pair()
    pair.say(frames.settings({frames.INITIAL_WINDOW_SIZE: 0}))

    pair.say(calls(pair.quick, 9, 3) + frames.window_update(11, 100))
    pair.say(frames.window_update(9, 1_000))
    pair.say(frames.reset(13, ErrorCode.CANCEL))
    pair.say(frames.settings({frames.INITIAL_WINDOW_SIZE: 1_000}))

    assert pair.at_once == 4
    assert not pair.quick.connection.streams


async def test_a_call_with_a_window_of_its_own_has_its_deadline_still() -> None:
    loop = asyncio.get_running_loop()
    deadlines: list[float | None] = []

    def noted(_: bytes, __: object, deadline: float | None) -> asyncio.Future[bytes]:
        deadlines.append(deadline)
        return loop.create_future()

    peer = Peer({ECHO: Method(noted)}, LIMITS)
    headers = [*HEADERS, ("grpc-timeout", "1000m")]
    for stream in (1, 3, 5):
        peer.send(peer.call(stream, headers=headers))
    read = b"".join(peer.call(stream, headers=headers) for stream in (7, 9))

    peer.send(read + frames.window_update(7, 1))

    shared, own = (peer.connection.streams[stream] for stream in (9, 7))
    assert shared.shared
    assert not own.shared
    assert (own.since, own.ended, own.credit, shared.credit) == (shared.since, True, 1, 0)
    assert deadlines[-2:] == [shared.since + 1.0] * 2


def test_watches_of_one_read_are_told_each_by_itself() -> None:
    health = Health(("a.B",))
    peer = Peer(health.methods())
    watch = with_path("/grpc.health.v1.Health/Watch")
    for stream in (1, 3, 5):
        peer.send(peer.call(stream, b"", watch))
        peer.send(frames.reset(stream, ErrorCode.CANCEL))

    begun = peer.send(
        peer.call(7, b"", watch) + peer.call(9, b"\x0a\x03a.B", watch) + peer.call(11, b"", watch)
    )
    peer.send(frames.reset(7, ErrorCode.CANCEL))
    health.set(serving=True)

    told = [found.stream for found in peer.seen() if found.kind == frames.DATA]
    assert [found.stream for found in begun if found.kind == frames.HEADERS] == [7, 9, 11]
    assert sorted(told) == [9, 11]
    assert len(health.watchers) == 2
    for stream in (9, 11):
        peer.send(frames.reset(stream, ErrorCode.CANCEL))
    assert not health.watchers


def test_a_watch_too_many_is_refused_and_costs_the_others_nothing() -> None:
    health = Health(("a.B",))
    health.max_watchers = 1
    peer = Peer({**health.methods(), ECHO: Method(echo)})
    watch = with_path("/grpc.health.v1.Health/Watch")
    peer.send(peer.call(1, b"", watch))

    found = peer.send(peer.call(3, b"", watch), peer.call(5))

    assert peer.answer([each for each in found if each.stream == 3], 3)[0]["grpc-status"] == "8"
    assert peer.answer([each for each in found if each.stream == 5], 5)[0]["grpc-status"] == "0"
    assert peer.server.inside == 0
