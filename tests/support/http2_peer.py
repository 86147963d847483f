"""A client of extauthz.http2 without a network: frames in, frames out, at once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, cast

import hpack

from extauthz.http2 import frames
from extauthz.http2.connection import Connection
from extauthz.http2.frames import ErrorCode
from extauthz.http2.limits import Limits
from extauthz.http2.method import Method
from extauthz.http2.server import Server

ECHO = "/test.Service/Echo"
HEADERS = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", ECHO),
    (":authority", "test"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
]


def echo(message: bytes, *_: object) -> bytes:
    return b"echo " + message


def with_path(path: str) -> list[tuple[str, str]]:
    return [(name, path if name == ":path" else value) for name, value in HEADERS]


def prefixed(message: bytes) -> bytes:
    return b"\x00" + len(message).to_bytes(4) + message


@dataclass(frozen=True)
class Frame:
    kind: int
    flags: int
    stream: int
    payload: bytes


class Wire:
    """A transport that remembers."""

    def __init__(self) -> None:
        self.sent = b""
        self.closed = self.aborted = self.reading = False

    def write(self, data: bytes) -> None:
        self.sent += data

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Peer:
    """One connection to a server of its own, greeted unless told otherwise."""

    def __init__(
        self,
        methods: dict[str, Method] | None = None,
        limits: Limits | None = None,
        *,
        greet: bool = True,
        server: Server | None = None,
    ) -> None:
        self.failures: list[Exception] = []
        self.server = server or Server(methods or {ECHO: Method(echo)}, limits, self.failures.append)
        self.wire = Wire()
        self.connection = Connection(self.server)
        self.connection.connection_made(cast("asyncio.BaseTransport", self.wire))
        self.encoder = hpack.Encoder()
        self.decoder = hpack.Decoder()
        if greet:
            self.greet()

    def greet(self, settings: bytes = b"") -> None:
        ack = frames.frame(frames.SETTINGS, frames.ACK, 0)
        self.connection.data_received(frames.PREFACE + frames.frame(frames.SETTINGS, 0, 0, settings) + ack)
        self.encoder.header_table_size = 0
        self.seen()

    def block(self, headers: list[tuple[str, str]] | None = None) -> bytes:
        return bytes(self.encoder.encode(HEADERS if headers is None else headers))

    def headers(
        self, stream: int, headers: list[tuple[str, str]] | None = None, flags: int = frames.END_HEADERS
    ) -> bytes:
        return frames.frame(frames.HEADERS, flags, stream, self.block(headers))

    def call(self, stream: int, message: bytes = b"x", headers: list[tuple[str, str]] | None = None) -> bytes:
        data = frames.frame(frames.DATA, frames.END_STREAM, stream, prefixed(message))
        return self.headers(stream, headers) + data

    def send(self, *data: bytes) -> list[Frame]:
        """What comes back at once."""
        self.connection.data_received(b"".join(data))
        return self.seen()

    def seen(self) -> list[Frame]:
        data, self.wire.sent = self.wire.sent, b""
        found = []
        while data:
            length_kind, flags, stream = frames.HEAD.unpack_from(data)
            end = frames.HEAD_BYTES + (length_kind >> 8)
            found.append(Frame(length_kind & 0xFF, flags, stream, data[frames.HEAD_BYTES : end]))
            data = data[end:]
        return found

    def answer(self, found: list[Frame], stream: int) -> tuple[dict[str, str], bytes]:
        """All headers and trailers of a stream, and its data."""
        headers: dict[str, str] = {}
        body = b""
        for frame in found:
            if frame.kind == frames.HEADERS:
                read = self.decoder.decode(frame.payload)
                if frame.stream == stream:
                    headers.update(cast("Any", read))
            elif frame.kind == frames.DATA and frame.stream == stream:
                body += frame.payload
        return headers, body


def goaway_code(found: list[Frame]) -> ErrorCode | None:
    codes = [ErrorCode(int.from_bytes(f.payload[4:8])) for f in found if f.kind == frames.GOAWAY]
    return codes[0] if codes else None


def reset_codes(found: list[Frame]) -> dict[int, ErrorCode]:
    return {f.stream: ErrorCode(int.from_bytes(f.payload)) for f in found if f.kind == frames.RST_STREAM}
