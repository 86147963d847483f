"""An upstream that writes down, byte by byte, what reached it: HTTP/1.1 and HTTP/2 on one port.

It answers 200, or 101 to a WebSocket handshake (and then echoes). `seen` is what it got.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import struct
import threading
from dataclasses import dataclass
from typing import Self

import hpack
from http2_frames import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    PREFACE,
    SETTINGS,
    WINDOW_UPDATE,
    Field,
    Reader,
    block,
    frame,
    frames,
)

GRPC_OK = [(b"grpc-status", b"0")]


@dataclass(frozen=True)
class Seen:
    """One request as it reached the upstream. Names in lower case; trailers apart."""

    method: str
    target: str
    headers: tuple[Field, ...]
    body: bytes = b""
    trailers: tuple[Field, ...] = ()
    protocol: str = "HTTP/1.1"

    def value(self, name: str) -> str:
        return ",".join(v.decode("latin-1") for n, v in self.headers if n == name.encode())

    @property
    def client(self) -> str:
        """The address that Envoy says the client has."""
        return self.value("x-forwarded-for")


class RecordingUpstream:
    """Listens on a free port of 127.0.0.1 while the block runs."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        # Bytes that were no request: a smuggled half of one, for instance.
        self.noise: list[bytes] = []
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    outer._serve(self.request)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 128

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _serve(self, connection: socket.socket) -> None:
        if connection.recv(3, socket.MSG_PEEK | socket.MSG_WAITALL) == PREFACE[:3]:
            self._serve_http2(connection)
        else:
            self._serve_http1(connection)

    def _serve_http1(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as source:
            while line := source.readline():
                parts = line.rstrip(b"\r\n").split(b" ")
                if len(parts) != 3 or parts[2] != b"HTTP/1.1":
                    self.noise.append(line)
                    return
                headers = []
                while (field := source.readline().rstrip(b"\r\n")) != b"":
                    name, _, value = field.partition(b":")
                    headers.append((name.lower(), value.strip()))
                told = dict(headers)
                if told.get(b"transfer-encoding") == b"chunked":
                    body = b""
                    while size := int(source.readline().split(b";")[0], 16):
                        body += source.read(size)
                        source.readline()
                    source.readline()
                else:
                    body = source.read(int(told.get(b"content-length", 0)))
                request = Seen(parts[0].decode("latin-1"), parts[1].decode("latin-1"), tuple(headers), body)
                self.seen.append(request)
                if told.get(b"upgrade"):
                    connection.sendall(
                        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: "
                        + told[b"upgrade"]
                        + b"\r\n\r\n"
                    )
                    while said := source.read1(65536):
                        connection.sendall(said)
                    return
                connection.sendall(
                    b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n"[: -3 if parts[0] == b"HEAD" else None]
                )

    def _serve_http2(self, connection: socket.socket) -> None:
        connection.recv(len(PREFACE), socket.MSG_WAITALL)
        connection.sendall(frame(SETTINGS, 0, 0))
        reader = Reader()
        for kind, flags, number, payload in frames(connection):
            if kind == SETTINGS and not flags & ACK:
                connection.sendall(frame(SETTINGS, ACK, 0))
            elif kind == PING and not flags & ACK:
                connection.sendall(frame(PING, ACK, 0, payload))
            if kind == DATA and payload:
                credit = struct.pack(">I", len(payload))
                connection.sendall(
                    frame(WINDOW_UPDATE, 0, 0, credit) + frame(WINDOW_UPDATE, 0, number, credit)
                )
            try:
                reader.take(kind, flags, number, payload)
            except hpack.HPACKError:
                self.noise.append(payload)
                return
            if number and number in reader.streams and reader.streams[number].ended:
                stream = reader.streams.pop(number)
                told = dict(stream.heads[0])
                trailers = tuple(field for head in stream.heads[1:] for field in head)
                self.seen.append(
                    Seen(
                        told[b":method"].decode("latin-1"),
                        told[b":path"].decode("latin-1"),
                        tuple(stream.heads[0]),
                        stream.body,
                        trailers,
                        "HTTP/2",
                    )
                )
                self._answer_http2(
                    connection, number, grpc=told.get(b"content-type", b"").startswith(b"application/grpc")
                )

    def _answer_http2(self, connection: socket.socket, number: int, *, grpc: bool) -> None:
        kind = [(b"content-type", b"application/grpc" if grpc else b"text/plain")]
        connection.sendall(
            frame(HEADERS, END_HEADERS, number, block([(b":status", b"200"), *kind]))
            + frame(DATA, 0 if grpc else END_STREAM, number, b"\0\0\0\0\0" if grpc else b"ok\n")
            + (frame(HEADERS, END_HEADERS | END_STREAM, number, block(GRPC_OK)) if grpc else b"")
        )
