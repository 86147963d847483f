"""HTTP/2 frames as bytes: enough to say what no well-behaved library would, and to read the answer."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    0,
    1,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
)
END_STREAM, END_HEADERS, ACK, PADDED, PRIORITY = 0x1, 0x4, 0x1, 0x8, 0x20

Field = tuple[bytes, bytes]


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def block(fields: Sequence[Field]) -> bytes:
    """A header block of literals without indexing: each name and value goes out exactly as given."""
    return b"".join(b"\x00" + _string(name) + _string(value) for name, value in fields)


def _string(text: bytes) -> bytes:
    if len(text) < 127:
        return bytes((len(text),)) + text
    rest, out = len(text) - 127, bytearray(b"\x7f")
    while rest >= 128:
        out.append(rest % 128 + 128)
        rest //= 128
    return bytes(out) + bytes((rest,)) + text


@dataclass
class Stream:
    """What came on one stream."""

    heads: list[list[Field]] = field(default_factory=list)
    body: bytes = b""
    ended: bool = False
    reset: int | None = None

    def value(self, name: bytes) -> bytes:
        """The last value of a field, of the head or the trailers; empty without one."""
        return next((v for fields in reversed(self.heads) for n, v in fields if n == name), b"")

    @property
    def over(self) -> bool:
        return self.ended or self.reset is not None


def frames(connection: socket.socket) -> Iterator[tuple[int, int, int, bytes]]:
    """Kind, flags, stream and payload of each frame, until the other side ends or a timeout."""
    source = connection.makefile("rb")
    while len(head := source.read(9)) == 9:
        size = int.from_bytes(head[:3], "big")
        yield head[3], head[4], int.from_bytes(head[5:], "big") & 0x7FFF_FFFF, source.read(size)


class Reader:
    """Turns frames into streams."""

    def __init__(self) -> None:
        self.decoder = hpack.Decoder()
        self.streams: dict[int, Stream] = {}
        self.gone = False
        self._pending = b""

    def take(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if kind == GOAWAY:
            self.gone = True
        elif kind in (HEADERS, CONTINUATION):
            self._head(kind, flags, number, payload)
        elif kind == DATA:
            stream = self._stream(number)
            stream.body += payload
            stream.ended |= bool(flags & END_STREAM)
        elif kind == RST_STREAM:
            self._stream(number).reset = int.from_bytes(payload, "big")

    def _head(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if kind == HEADERS and flags & PADDED:
            payload = payload[1 : len(payload) - payload[0]]
        if kind == HEADERS and flags & PRIORITY:
            payload = payload[5:]
        self._pending += payload
        stream = self._stream(number)
        if kind == HEADERS and flags & END_STREAM:
            stream.ended = True
        if flags & END_HEADERS:
            decoded = self.decoder.decode(self._pending, raw=True)
            stream.heads.append([(bytes(name), bytes(value)) for name, value in decoded])
            self._pending = b""

    def _stream(self, number: int) -> Stream:
        return self.streams.setdefault(number, Stream())
