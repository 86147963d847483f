"""What clients of extauthz.http2 may say, frame by frame: legal scripts by chance, and what goes wrong with bytes."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

import hpack

from extauthz.http2 import frames
from extauthz.http2.frames import frame

METHODS = ("/t.S/Now", "/t.S/Later")
WATCH = "/grpc.health.v1.Health/Watch"
_PATHS = (*METHODS * 4, WATCH, "/t.S/None")
_TIMEOUTS = ("1S", "200m", "99999999H", "0n", "x", "1")
_MORE = (
    ("x-gateledger-node", "edge"),
    ("user-agent", "fuzz/1 (é)"),
    ("x-long", "y" * 300),
    ("cookie", "a=b"),
)
# Beyond this a client would have to wait for WINDOW_UPDATEs.
_DATA_BYTES = 20_000

Step = Callable[[], list[bytes]]


@dataclass
class Script:
    """A client's frames in the order of sending. The header table's state goes with that order."""

    chance: random.Random
    encoder: hpack.Encoder = field(default_factory=hpack.Encoder)
    frames: list[bytes] = field(default_factory=list)
    streams: list[int] = field(default_factory=list)
    _next: int = 1
    _to_tell: bool = False

    def acknowledge(self) -> None:
        """Take in the server's settings."""
        self.frames.append(frame(frames.SETTINGS, frames.ACK, 0))
        self.encoder.header_table_size = 0
        self._to_tell = True

    def block(self, headers: list[tuple[str, str]]) -> bytes:
        """A header block; the first behind the acknowledgement is the encoder's, which says that its table is gone."""
        told, self._to_tell = self._to_tell, False
        if not told and self.chance.random() < 0.3:
            return b"".join(b"\x00" + _text(name) + _text(value) for name, value in headers)
        return bytes(self.encoder.encode(headers, huffman=self.chance.random() < 0.5))

    def head(self, stream: int, headers: list[tuple[str, str]], flags: int) -> list[bytes]:
        """HEADERS, and CONTINUATION where chance cuts the block; with padding and a priority now and then."""
        chance, block = self.chance, self.block(headers)
        parts = _cut(chance, block, chance.choice((1, 1, 1, 2, 4)))
        first = parts[0]
        if chance.random() < 0.2:
            flags |= frames.PRIORITISED
            other = chance.choice((0, 0, stream + 2, 1 if stream != 1 else 3))
            first = (
                (other | chance.choice((0, 1 << 31))).to_bytes(4) + bytes((chance.randrange(256),)) + first
            )
        if chance.random() < 0.2:
            flags |= frames.PADDED
            # hyperframe takes no padding that is longer than what it pads.
            padding = min(len(first) - 1, chance.choice((0, 1, 9, 255))) if first else 0
            first = bytes((padding,)) + first + bytes(padding)
        last = len(parts) - 1
        made = [frame(frames.HEADERS, flags | (0 if last else frames.END_HEADERS), stream, first)]
        for place, part in enumerate(parts[1:], 1):
            made.append(frame(frames.CONTINUATION, frames.END_HEADERS if place == last else 0, stream, part))
        return made

    def data(self, stream: int, part: bytes, flags: int) -> list[bytes]:
        if self.chance.random() < 0.15:
            padding = min(len(part) - 1, self.chance.choice((0, 1, 100))) if part else 0
            flags |= frames.PADDED
            part = bytes((padding,)) + part + bytes(padding)
        return [frame(frames.DATA, flags, stream, part)]

    def call(self) -> list[Step]:
        """The steps of a call, whose others may come between them."""
        chance = self.chance
        stream, self._next = self._next, self._next + chance.choice((2, 2, 2, 2, 4, 20))
        headers = _headers(chance)
        size = chance.choice((0, 1, 5, 63, 64, 300, 300, 2_000, 16_379, _DATA_BYTES))
        body = _body(chance, chance.randbytes(size))
        if chance.random() < 0.1:
            headers.append(("content-length", str(len(body))))
        trailers = chance.random() < 0.1
        parts = [
            part[at : at + 16_000]
            for part in _cut(chance, body, chance.choice((1, 1, 1, 2, 3, 9)))
            for at in range(0, max(1, len(part)), 16_000)
        ]
        if not body and chance.random() < 0.5:
            return [lambda: self._opened(stream, headers, frames.END_STREAM)]
        steps: list[Step] = [lambda: self._opened(stream, headers, 0)]
        for place, part in enumerate(parts, 1):
            flags = frames.END_STREAM if place == len(parts) and not trailers else 0
            steps.append(lambda part=part, flags=flags: self.data(stream, part, flags))  # type: ignore[misc]
        if trailers:
            steps.append(lambda: self.head(stream, [("x-checksum", "1")], frames.END_STREAM))
        if chance.random() < 0.08:
            del steps[chance.randrange(1, len(steps)) :]
            steps.append(lambda: [frames.reset(stream, frames.ErrorCode.CANCEL)])
        return steps

    def alike(self) -> list[bytes]:
        """Calls one behind the other with the same headers and whole messages, as Envoy's are; seldom with others between."""
        chance, made = self.chance, []
        headers = [
            *(
                (":method", "POST"),
                (":scheme", "http"),
                (":path", chance.choice(METHODS)),
                (":authority", "extauthz"),
            ),
            *(("te", "trailers"), ("content-type", "application/grpc"), ("grpc-timeout", "1S")),
        ]
        block = b"".join(b"\x00" + _text(name) + _text(value) for name, value in headers)
        for _ in range(chance.choice((3, 5, 9))):
            stream, self._next = self._next, self._next + chance.choice((2,) * 9 + (4,))
            self.streams.append(stream)
            # A table that has to be spoken of first is the encoder's.
            first = self.block(headers) if self._to_tell else block
            message = chance.randbytes(chance.choice((0, 5, 300, 2_000)))
            made.append(frame(frames.HEADERS, frames.END_HEADERS, stream, first))
            body = b"\x00" + len(message).to_bytes(4) + message
            made.append(frame(frames.DATA, frames.END_STREAM, stream, body))
            if chance.random() < 0.1:
                made += self.aside()
        return made

    def aside(self) -> list[bytes]:
        """A frame that belongs to no call's course."""
        chance = self.chance
        stream = chance.choice(self.streams) if self.streams else 0
        return chance.choice(
            (
                lambda: [frame(frames.PING, chance.choice((0, 0, frames.ACK)), 0, chance.randbytes(8))],
                lambda: [frame(frames.SETTINGS, 0, 0, _setting(chance))],
                lambda: [frame(frames.SETTINGS, 0, 0, _setting(chance) + _setting(chance))],
                lambda: [frames.window_update(0, chance.choice((1, 100, 65_535)))],
                lambda: [frames.window_update(stream, chance.choice((1, 20, 65_535)))],
                lambda: [frame(frames.PRIORITY, 0, stream or 77, (0).to_bytes(4) + b"\x10")],
                lambda: [
                    frame(chance.randrange(11, 256), chance.randrange(256), stream, chance.randbytes(5))
                ],
            )
        )()

    def _opened(self, stream: int, headers: list[tuple[str, str]], flags: int) -> list[bytes]:
        self.streams.append(stream)
        return self.head(stream, headers, flags)


def script(chance: random.Random) -> list[bytes]:
    """A legal client's frames, the preface first. Calls are opened in their order and go on side by side."""
    made = Script(chance)
    waiting = [made.call() for _ in range(chance.choice((1, 2, 4, 8, 16)))]
    going: list[list[Step]] = []
    acknowledged = False
    made.frames += [
        frames.PREFACE,
        frame(frames.SETTINGS, 0, 0, b"".join(_setting(chance) for _ in range(2))),
    ]
    while waiting or going:
        if not acknowledged and chance.random() < 0.4:
            acknowledged = True
            made.acknowledge()
        if chance.random() < 0.2:
            made.frames += made.aside()
        if waiting and (not going or chance.random() < 0.4):
            going.append(waiting.pop(0))
            made.frames += going[-1].pop(0)()
        elif going:
            made.frames += chance.choice(going).pop(0)()
        going = [steps for steps in going if steps]
    if chance.random() < 0.5:
        made.frames += made.alike()
    if chance.random() < 0.1:
        made.frames.append(frames.goaway(0, frames.ErrorCode.NO_ERROR))
    return made.frames


def damaged(chance: random.Random, said: list[bytes]) -> list[bytes]:
    """The same with something wrong: frames that moved, went or came twice, heads or bytes that are others."""
    said = list(said)
    for _ in range(chance.choice((1, 1, 2, 5))):
        at = chance.randrange(1, len(said))
        kind = chance.choice(("move", "drop", "double", "head", "byte", "byte", "bytes", "cut", "insert"))
        if kind == "move":
            said.insert(chance.randrange(1, len(said)), said.pop(at))
        elif kind == "drop" and len(said) > 2:
            del said[at]
        elif kind == "double":
            said.insert(chance.randrange(at, len(said)), said[at])
        elif kind == "head":
            said[at] = _other_head(chance, said[at])
        else:
            said[at] = _other_bytes(chance, said[at], kind)
    return said


def _other_head(chance: random.Random, one: bytes) -> bytes:
    """Another type, other flags, another stream or another length, over the same payload."""
    if len(one) < frames.HEAD_BYTES:
        return one
    head = bytearray(one[: frames.HEAD_BYTES])
    what = chance.choice(("type", "flag", "stream", "length", "reserved"))
    if what == "type":
        head[3] = chance.randrange(12)
    elif what == "flag":
        head[4] ^= 1 << chance.randrange(8)
    elif what == "stream":
        head[5:9] = chance.choice((0, 1, 2, 3, 5, 7, 9, 2**31 - 1)).to_bytes(4)
    elif what == "reserved":
        head[5] |= 0x80
    else:
        length = int.from_bytes(head[:3]) + chance.choice((-9, -1, 1, 9, 20_000))
        head[:3] = max(0, length).to_bytes(3)
    return bytes(head) + one[frames.HEAD_BYTES :]


def _other_bytes(chance: random.Random, one: bytes, kind: str) -> bytes:
    """The change of some bytes, mostly of those that mean most: of blocks and small payloads."""
    if not one:
        return one
    out = bytearray(one)
    low = min(len(out) - 1, frames.HEAD_BYTES) if chance.random() < 0.8 else 0
    at = chance.randrange(low, min(len(out), low + 400))
    if kind == "byte":
        out[at] ^= 1 << chance.randrange(8)
    elif kind == "bytes":
        out[at : at + 4] = chance.randbytes(4)[: len(out) - at]
    elif kind == "cut":
        del out[at : at + chance.choice((1, 9, 50))]
    else:
        out[at:at] = chance.choice((chance.randbytes(chance.randrange(1, 20)), one))
    return bytes(out)


def _headers(chance: random.Random) -> list[tuple[str, str]]:
    headers = [
        (":method", chance.choice(("POST",) * 9 + ("GET",))),
        (":scheme", "http"),
        (":path", chance.choice(_PATHS)),
        (":authority", "extauthz"),
        ("te", "trailers"),
        ("content-type", chance.choice(("application/grpc",) * 8 + ("application/grpc+proto", "text/plain"))),
    ]
    if chance.random() < 0.3:
        headers.append(("grpc-timeout", chance.choice(_TIMEOUTS)))
    headers += chance.sample(_MORE, chance.choice((0, 0, 1, 3)))
    return headers


def _body(chance: random.Random, message: bytes) -> bytes:
    """A message of gRPC; rarely none, two of them, one that is cut off, or that says it is compressed."""
    whole = b"\0" + len(message).to_bytes(4) + message
    return chance.choice(
        (*(whole,) * 12, b"", whole * 2 if len(whole) < 9_000 else whole, whole[:-1], b"\1" + whole[1:])
    )


def _setting(chance: random.Random) -> bytes:
    key, value = chance.choice(
        (
            (frames.HEADER_TABLE_SIZE, chance.choice((0, 100, 4_096, 2**32 - 1))),
            (frames.ENABLE_PUSH, chance.choice((0, 1))),
            (frames.MAX_CONCURRENT_STREAMS, chance.choice((0, 1, 100))),
            (frames.INITIAL_WINDOW_SIZE, chance.choice((0, 10, 30, 65_535, 2**20))),
            (frames.MAX_FRAME_SIZE, chance.choice((16_384, 2**24 - 1))),
            (frames.MAX_HEADER_LIST_SIZE, chance.choice((0, 1_000, 2**32 - 1))),
            (0xABCD, 5),
        )
    )
    return struct.pack(">HI", key, value)


def _cut(chance: random.Random, whole: bytes, parts: int) -> list[bytes]:
    """The same bytes in so many parts, some of them empty."""
    places = sorted(chance.randrange(len(whole) + 1) for _ in range(parts - 1))
    return [whole[start:stop] for start, stop in zip([0, *places], [*places, len(whole)], strict=True)]


def _text(text: str) -> bytes:
    """A text of a literal, not coded."""
    coded = text.encode()
    if len(coded) < 127:
        return bytes((len(coded),)) + coded
    rest, out = len(coded) - 127, bytearray(b"\x7f")
    while rest >= 128:
        out.append(rest % 128 + 128)
        rest //= 128
    return bytes((*out, rest)) + coded
