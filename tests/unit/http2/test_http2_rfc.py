"""RFC 9113 by its sections, as h2spec has them: what a peer does, and what has to become of it.

h2spec itself was run against this server: docs/design/fast-transport.md has its result, and why nine of its cases
cannot apply to a server of unary gRPC.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest
from http2_peer import HEADERS, Peer, goaway_code, prefixed, reset_codes, with_path

from extauthz.http2 import frames
from extauthz.http2.frames import ErrorCode, frame

if TYPE_CHECKING:
    from collections.abc import Callable

E = frames.END_STREAM
H = frames.END_HEADERS


def data(stream: int, message: bytes = b"x", flags: int = E) -> bytes:
    return frame(frames.DATA, flags, stream, prefixed(message))


def setting(key: int, value: int) -> bytes:
    return frame(frames.SETTINGS, 0, 0, struct.pack(">HI", key, value))


def window(stream: int, by: int) -> bytes:
    return frame(frames.WINDOW_UPDATE, 0, stream, by.to_bytes(4))


def rst(stream: int) -> bytes:
    return frame(frames.RST_STREAM, 0, stream, (8).to_bytes(4))


def cont(peer: Peer, stream: int, flags: int = H) -> bytes:
    return frame(frames.CONTINUATION, flags, stream, peer.block([("x-more", "1")]))


Act = "Callable[[Peer], bytes]"

CONNECTION: list[tuple[str, ErrorCode, Callable[[Peer], bytes]]] = [
    ("4.2 a frame larger than allowed", ErrorCode.FRAME_SIZE_ERROR, lambda _: frame(frames.DATA, 0, 1, b"x" * 16385)),
    ("4.2 a SETTINGS of 5 bytes", ErrorCode.FRAME_SIZE_ERROR, lambda _: frame(frames.SETTINGS, 0, 0, b"x" * 5)),
    ("4.3 a block that cannot be read", ErrorCode.COMPRESSION_ERROR, lambda _: frame(frames.HEADERS, H | E, 1, b"\xbf")),
    ("4.3 a PRIORITY inside a block", ErrorCode.PROTOCOL_ERROR,
     lambda p: p.headers(1, flags=0) + frame(frames.PRIORITY, 0, 1, b"\0" * 5)),
    ("4.3 HEADERS of another stream inside a block", ErrorCode.PROTOCOL_ERROR,
     lambda p: p.headers(1, flags=0) + p.headers(3)),
    ("5.1 idle: DATA", ErrorCode.PROTOCOL_ERROR, lambda _: data(1)),
    ("5.1 idle: RST_STREAM", ErrorCode.PROTOCOL_ERROR, lambda _: rst(1)),
    ("5.1 idle: WINDOW_UPDATE", ErrorCode.PROTOCOL_ERROR, lambda _: window(1, 1)),
    ("5.1 idle: CONTINUATION", ErrorCode.PROTOCOL_ERROR, lambda p: cont(p, 1)),
    ("5.1 closed by END_STREAM: HEADERS", ErrorCode.STREAM_CLOSED, lambda p: (p.send(p.call(1)), p.headers(1))[1]),
    ("5.1 closed by RST_STREAM: HEADERS", ErrorCode.STREAM_CLOSED,
     lambda p: p.headers(1) + rst(1) + p.headers(1)),
    ("5.1.1 an even number", ErrorCode.PROTOCOL_ERROR, lambda p: p.headers(2)),
    ("5.1.1 a number below the last", ErrorCode.PROTOCOL_ERROR, lambda p: p.headers(5) + p.headers(3)),
    ("5.4.1 a bad preface", ErrorCode.PROTOCOL_ERROR, lambda _: b""),
    ("6.1 DATA of stream 0", ErrorCode.PROTOCOL_ERROR, lambda _: data(0)),
    ("6.1 padding longer than the frame", ErrorCode.PROTOCOL_ERROR,
     lambda p: p.headers(1) + frame(frames.DATA, E | frames.PADDED, 1, b"\x09" + b"x" * 8)),
    ("6.1 padded without a pad length", ErrorCode.FRAME_SIZE_ERROR,
     lambda p: p.headers(1) + frame(frames.DATA, E | frames.PADDED, 1, b"")),
    ("6.2 HEADERS of stream 0", ErrorCode.PROTOCOL_ERROR, lambda p: p.headers(0)),
    ("6.2 HEADERS of stream 0 whose block goes on", ErrorCode.PROTOCOL_ERROR, lambda p: p.headers(0, flags=0)),
    ("6.5.3 settings count in their order", ErrorCode.FLOW_CONTROL_ERROR,
     lambda _: frame(frames.SETTINGS, 0, 0, struct.pack(">HIHI", 4, 2**31, 4, 1))),
    ("6.2 padding longer than the block", ErrorCode.PROTOCOL_ERROR,
     lambda p: frame(frames.HEADERS, H | frames.PADDED, 1, b"\xf0" + p.block())),
    ("6.2 a priority cut off", ErrorCode.FRAME_SIZE_ERROR,
     lambda _: frame(frames.HEADERS, H | frames.PRIORITISED, 1, b"\0\0")),
    ("5.3.1 HEADERS that depend on themselves", ErrorCode.PROTOCOL_ERROR,
     lambda p: frame(frames.HEADERS, H | frames.PRIORITISED, 1, b"\0\0\0\x01\0" + p.block())),
    ("6.3 PRIORITY of stream 0", ErrorCode.PROTOCOL_ERROR, lambda _: frame(frames.PRIORITY, 0, 0, b"\0" * 5)),
    ("6.4 RST_STREAM of stream 0", ErrorCode.PROTOCOL_ERROR, lambda _: rst(0)),
    ("6.4 RST_STREAM of 3 bytes", ErrorCode.FRAME_SIZE_ERROR,
     lambda p: p.headers(1) + frame(frames.RST_STREAM, 0, 1, b"\0\0\0")),
    ("6.5 SETTINGS with ACK and a payload", ErrorCode.FRAME_SIZE_ERROR,
     lambda _: frame(frames.SETTINGS, frames.ACK, 0, b"\0" * 6)),
    ("6.5 SETTINGS of a stream", ErrorCode.PROTOCOL_ERROR, lambda _: frame(frames.SETTINGS, 0, 1)),
    ("6.5.2 ENABLE_PUSH 2", ErrorCode.PROTOCOL_ERROR, lambda _: setting(2, 2)),
    ("6.5.2 INITIAL_WINDOW_SIZE too large", ErrorCode.FLOW_CONTROL_ERROR, lambda _: setting(4, 2**31)),
    ("6.5.2 MAX_FRAME_SIZE too small", ErrorCode.PROTOCOL_ERROR, lambda _: setting(5, 16383)),
    ("6.5.2 MAX_FRAME_SIZE too large", ErrorCode.PROTOCOL_ERROR, lambda _: setting(5, 2**24)),
    ("6.6 PUSH_PROMISE of a client", ErrorCode.PROTOCOL_ERROR, lambda _: frame(frames.PUSH_PROMISE, H, 1, b"\0" * 8)),
    ("6.7 PING of a stream", ErrorCode.PROTOCOL_ERROR, lambda _: frame(frames.PING, 0, 1, b"x" * 8)),
    ("6.7 PING of 6 bytes", ErrorCode.FRAME_SIZE_ERROR, lambda _: frame(frames.PING, 0, 0, b"x" * 6)),
    ("6.8 GOAWAY of a stream", ErrorCode.PROTOCOL_ERROR, lambda _: frame(frames.GOAWAY, 0, 1, b"\0" * 8)),
    ("6.8 GOAWAY of 7 bytes", ErrorCode.FRAME_SIZE_ERROR, lambda _: frame(frames.GOAWAY, 0, 0, b"\0" * 7)),
    ("6.9 WINDOW_UPDATE by 0", ErrorCode.PROTOCOL_ERROR, lambda _: window(0, 0)),
    ("6.9 WINDOW_UPDATE of 3 bytes", ErrorCode.FRAME_SIZE_ERROR, lambda _: frame(frames.WINDOW_UPDATE, 0, 0, b"\0\0\1")),
    ("6.9.1 a window beyond 2^31-1", ErrorCode.FLOW_CONTROL_ERROR, lambda _: window(0, 2**31 - 1)),
    ("6.9.2 a stream's window beyond 2^31-1 by SETTINGS", ErrorCode.FLOW_CONTROL_ERROR,
     lambda p: p.headers(1) + window(1, 2**30) + setting(4, 2**31 - 1)),
    ("6.10 CONTINUATION of stream 0", ErrorCode.PROTOCOL_ERROR, lambda p: p.headers(1, flags=0) + cont(p, 0)),
    ("6.10 CONTINUATION of another stream", ErrorCode.PROTOCOL_ERROR, lambda p: p.headers(1, flags=0) + cont(p, 3)),
    ("6.10 CONTINUATION after a whole block", ErrorCode.PROTOCOL_ERROR, lambda p: p.headers(1) + cont(p, 1)),
    ("6.10 CONTINUATION after DATA", ErrorCode.PROTOCOL_ERROR,
     lambda p: p.headers(1) + data(1, flags=0) + cont(p, 1)),
]  # fmt: skip

STREAM: list[tuple[str, ErrorCode, Callable[[Peer], bytes]]] = [
    ("5.1 half-closed: DATA", ErrorCode.STREAM_CLOSED, lambda p: p.call(1) + data(1)),
    ("5.1 closed by RST_STREAM: DATA", ErrorCode.STREAM_CLOSED, lambda p: p.headers(1) + rst(1) + data(1)),
    ("6.3 PRIORITY of 4 bytes", ErrorCode.FRAME_SIZE_ERROR, lambda _: frame(frames.PRIORITY, 0, 1, b"\0" * 4)),
    ("5.3.1 PRIORITY that depends on itself", ErrorCode.PROTOCOL_ERROR,
     lambda _: frame(frames.PRIORITY, 0, 1, b"\0\0\0\x01\0")),
    ("6.9 WINDOW_UPDATE of a stream by 0", ErrorCode.PROTOCOL_ERROR, lambda p: p.headers(1) + window(1, 0)),
    ("6.9.1 a stream's window beyond 2^31-1", ErrorCode.FLOW_CONTROL_ERROR,
     lambda p: p.headers(1) + window(1, 2**31 - 1)),
    ("8.1 a second HEADERS without END_STREAM", ErrorCode.PROTOCOL_ERROR,
     lambda p: p.headers(1) + p.headers(1, [("x-a", "b")])),
    ("8.1 trailers with a pseudo-header", ErrorCode.PROTOCOL_ERROR,
     lambda p: p.headers(1) + p.headers(1, [(":method", "POST")], H | E)),
    ("8.2.1 an upper-case name", ErrorCode.PROTOCOL_ERROR, lambda p: raw_header(p, b"X-A", b"b")),
    ("8.2.1 a line break in a value", ErrorCode.PROTOCOL_ERROR, lambda p: raw_header(p, b"x-a", b"b\nc")),
    ("8.2.1 a space around a value", ErrorCode.PROTOCOL_ERROR, lambda p: raw_header(p, b"x-a", b" b")),
    ("8.2.2 connection", ErrorCode.PROTOCOL_ERROR, lambda p: raw_header(p, b"connection", b"close")),
    ("8.2.2 te other than trailers", ErrorCode.PROTOCOL_ERROR, lambda p: raw_header(p, b"te", b"gzip")),
    ("8.3 an unknown pseudo-header", ErrorCode.PROTOCOL_ERROR, lambda p: call_with(p, [(":x", "y"), *HEADERS])),
    ("8.3 a response's pseudo-header", ErrorCode.PROTOCOL_ERROR, lambda p: call_with(p, [(":status", "200"), *HEADERS])),
    ("8.3 a pseudo-header behind others", ErrorCode.PROTOCOL_ERROR,
     lambda p: call_with(p, [*HEADERS[1:], HEADERS[0]])),
    ("8.3.1 no :method", ErrorCode.PROTOCOL_ERROR, lambda p: call_with(p, HEADERS[1:])),
    ("8.3.1 no :scheme", ErrorCode.PROTOCOL_ERROR, lambda p: call_with(p, [HEADERS[0], *HEADERS[2:]])),
    ("8.3.1 no :path", ErrorCode.PROTOCOL_ERROR, lambda p: call_with(p, [*HEADERS[:2], *HEADERS[3:]])),
    ("8.3.1 an empty :path", ErrorCode.PROTOCOL_ERROR, lambda p: call_with(p, with_path(""))),
    ("8.3.1 :path twice", ErrorCode.PROTOCOL_ERROR, lambda p: call_with(p, [HEADERS[2], *HEADERS])),
    ("8.1.1 a content-length that is not the data's", ErrorCode.PROTOCOL_ERROR,
     lambda p: call_with(p, [*HEADERS, ("content-length", "1")])),
    ("8.1.1 more data than content-length says, and no end", ErrorCode.PROTOCOL_ERROR,
     lambda p: p.headers(1, [*HEADERS, ("content-length", "5")]) + data(1, flags=0)),
    ("8.1.1 a content-length, trailers and no data", ErrorCode.PROTOCOL_ERROR,
     lambda p: p.headers(1, [*HEADERS, ("content-length", "5")]) + p.headers(1, [("x-a", "b")], H | E)),
    ("8.1.1 a content-length over several frames", ErrorCode.PROTOCOL_ERROR,
     lambda p: p.headers(1, [*HEADERS, ("content-length", "9")]) + data(1, flags=0) + frame(frames.DATA, E, 1)),
]  # fmt: skip

FINE: list[tuple[str, Callable[[Peer], bytes]]] = [
    ("4.1 an unknown type", lambda _: frame(0x16, 0xFF, 0, b"whatever")),
    ("4.1 flags that mean nothing", lambda _: frame(frames.PING, 0x16, 0, b"x" * 8)),
    ("5.1 PRIORITY of an idle stream", lambda _: frame(frames.PRIORITY, 0, 7, b"\0\0\0\x09\0")),
    ("5.1 PRIORITY, WINDOW_UPDATE and RST_STREAM of a closed stream",
     lambda p: p.call(1) + frame(frames.PRIORITY, 0, 1, b"\0" * 5) + window(1, 5) + rst(1)),
    ("6.5.2 an unknown setting", lambda _: setting(0xFF, 1)),
    ("6.5.3 settings again", lambda _: setting(1, 0) + setting(5, 20000)),
    ("6.8 GOAWAY", lambda _: frame(frames.GOAWAY, 0, 0, b"\0" * 8)),
    ("6.9.2 an initial window that shrinks and grows", lambda _: setting(4, 0) + setting(4, 70000)),
    ("6.10 CONTINUATION twice",
     lambda p: p.headers(1, flags=0) + cont(p, 1, flags=0) + cont(p, 1) + data(1)),
    ("6.2 padded and prioritised headers",
     lambda p: frame(frames.HEADERS, H | frames.PADDED | frames.PRIORITISED, 1,
                     b"\x03\0\0\0\x05\xff" + p.block() + b"\0\0\0") + data(1)),
    ("6.1 padded data",
     lambda p: p.headers(1) + frame(frames.DATA, E | frames.PADDED, 1, b"\x02" + prefixed(b"x") + b"\0\0")),
    ("8.1 trailers", lambda p: p.headers(1) + data(1, flags=0) + p.headers(1, [("x-a", "b")], H | E)),
    ("8.2.2 te in other letters", lambda p: call_with(p, [*HEADERS[:-1], ("te", "Trailers")])),
    ("8.3.1 no :authority", lambda p: call_with(p, [header for header in HEADERS if header[0] != ":authority"])),
    ("6.1 padding that is all but its length",
     lambda p: p.headers(1) + data(1, flags=0) + frame(frames.DATA, E | frames.PADDED, 1, b"\x03\0\0\0")),
    ("6.9 the reserved bit of an increment",
     lambda _: frame(frames.WINDOW_UPDATE, 0, 0, (2**31 + 5).to_bytes(4))),
    ("6.8 calls behind a GOAWAY", lambda p: frame(frames.GOAWAY, 0, 0, b"\0" * 8) + p.call(1)),
    ("7838 a frame of a type that others know", lambda _: frame(10, 0, 0, b"\0")),
    ("8.1.1 a content-length that is right", lambda p: call_with(p, [*HEADERS, ("content-length", "6")])),
    ("5.1.1 numbers with gaps", lambda p: p.call(1) + p.call(9)),
]  # fmt: skip


def raw_header(peer: Peer, name: bytes, value: bytes) -> bytes:
    from extauthz.http2.hpack import literal

    headers = [header for header in HEADERS if header[0] != name.decode().lower()]
    return frame(frames.HEADERS, H | E, 1, peer.block(headers) + literal(name, value))


def call_with(peer: Peer, headers: list[tuple[str, str]]) -> bytes:
    return peer.call(1, headers=headers)


@pytest.mark.parametrize(("code", "act"), [pytest.param(*row[1:], id=row[0]) for row in CONNECTION])
def test_what_ends_the_connection(code: ErrorCode, act: Callable[[Peer], bytes]) -> None:
    peer = Peer()

    sent = act(peer)
    if sent:
        found = peer.send(sent)
    else:
        peer = Peer(greet=False)
        peer.seen()
        found = peer.send(b"GET / HTTP/1.1\r\n\r\n")

    assert code is goaway_code(found)
    assert peer.wire.closed
    assert peer.server.counts.faults["connection", code.name] == 1


@pytest.mark.parametrize(("code", "act"), [pytest.param(*row[1:], id=row[0]) for row in STREAM])
def test_what_ends_a_stream_and_nothing_else(code: ErrorCode, act: Callable[[Peer], bytes]) -> None:
    peer = Peer()

    found = peer.send(act(peer))

    assert reset_codes(found) == {1: code}
    assert goaway_code(found) is None
    assert peer.server.counts.faults["stream", code.name] == 1
    assert peer.answer(peer.send(peer.call(101)), 101)[0]["grpc-status"] == "0"


@pytest.mark.parametrize("act", [pytest.param(row[1], id=row[0]) for row in FINE])
def test_what_is_fine(act: Callable[[Peer], bytes]) -> None:
    peer = Peer()

    found = peer.send(act(peer))

    assert not reset_codes(found)
    assert goaway_code(found) is None
    assert peer.answer(peer.send(peer.call(101)), 101)[1] == prefixed(b"echo x")


@pytest.mark.parametrize("size", [1, 2, 7, 9, 10, 24, 4096])
def test_bytes_may_be_cut_anywhere(size: int) -> None:
    peer = Peer(greet=False)
    sent = frames.PREFACE + frame(frames.SETTINGS, 0, 0) + peer.call(1, b"a" * 300) + peer.call(3)

    found = [frame_ for at in range(0, len(sent), size) for frame_ in peer.send(sent[at : at + size])]

    answers = [f.payload for f in found if f.kind == frames.DATA]
    assert [prefixed(b"echo " + b"a" * 300), prefixed(b"echo x")] == answers


def test_settings_and_pings_are_acknowledged() -> None:
    found = Peer().send(setting(1, 100), frame(frames.PING, 0, 0, b"12345678"))

    assert [(f.kind, f.flags, f.payload) for f in found] == [
        (frames.SETTINGS, frames.ACK, b""),
        (frames.PING, frames.ACK, b"12345678"),
    ]


def test_headers_before_the_acknowledgement_use_the_table_and_those_after_do_not() -> None:
    peer = Peer(greet=False)
    peer.send(frames.PREFACE, frame(frames.SETTINGS, 0, 0))
    first, second = peer.call(1), peer.call(3)
    assert len(second) < len(first)

    codes = [peer.answer(peer.send(sent), stream)[0] for stream, sent in ((1, first), (3, second))]
    peer.send(frame(frames.SETTINGS, frames.ACK, 0))
    peer.encoder.header_table_size = 0
    codes += [peer.answer(peer.send(peer.call(stream)), stream)[0] for stream in (5, 7, 9)]

    assert {code["grpc-status"] for code in codes} == {"0"}
    assert len(peer.server.heads) == 1


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(frame(frames.SETTINGS, frames.ACK, 0), id="an acknowledgement"),
        pytest.param(frame(frames.PING, 0, 0, b"x" * 8), id="a ping"),
        pytest.param(frame(0x77, 0, 0), id="a type that nobody knows"),
    ],
)
def test_the_first_frame_is_settings(first: bytes) -> None:
    peer = Peer(greet=False)
    peer.seen()

    found = peer.send(frames.PREFACE, first)

    assert goaway_code(found) is ErrorCode.PROTOCOL_ERROR
    assert peer.wire.closed


def test_frames_of_a_call_that_waits_for_its_window_are_taken() -> None:
    """5.1 half-closed (remote), as h2spec's generic 2/2 and 2/3 ask for of a server that answers GET with a body."""
    peer = Peer(greet=False)
    peer.greet(struct.pack(">HI", frames.INITIAL_WINDOW_SIZE, 0))
    peer.send(peer.call(1))

    found = peer.send(frame(frames.PRIORITY, 0, 1, b"\0\0\0\0\x10"), window(1, 100))

    assert not reset_codes(found)
    assert [f.kind for f in found] == [frames.DATA, frames.HEADERS]


def test_a_window_may_become_negative_and_is_waited_for() -> None:
    """6.9.2, as h2spec's http2 6.9.2/2."""
    peer = Peer(greet=False)
    peer.greet(struct.pack(">HI", frames.INITIAL_WINDOW_SIZE, 3))
    sent = [f for f in peer.send(peer.call(1)) if f.kind == frames.DATA]
    assert [len(f.payload) for f in sent] == [3]

    # 3 bytes are out: the window is now -3, then 0, then 1, then wide.
    steps = [setting(4, 0), window(1, 3), window(1, 1), window(1, 100)]
    lengths = [[len(f.payload) for f in peer.send(step) if f.kind == frames.DATA] for step in steps]

    assert lengths == [[], [], [1], [7]]
    assert not peer.connection.streams
