"""Sends a case's bytes over a socket of its own, and reads what comes back, in HTTP/1.1 or HTTP/2."""

from __future__ import annotations

import contextlib
import re
import socket
from dataclasses import dataclass, field

from hostile_corpus import Case
from http2_frames import Reader, frames

PATIENCE_SECONDS = 20.0
_LENGTH = re.compile(rb"^content-length: *(\d+)", re.IGNORECASE | re.MULTILINE)
_CHUNKED = re.compile(rb"^transfer-encoding: *chunked", re.IGNORECASE | re.MULTILINE)


@dataclass
class Reply:
    """What a client saw: final statuses in order, interim ones apart, heads and bodies."""

    statuses: list[int] = field(default_factory=list)
    interim: list[int] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    echo: bytes = b""


def talk(address: tuple[str, int], case: Case) -> Reply:
    """One connection, from the case's own address."""
    with socket.create_connection(address, PATIENCE_SECONDS, (case.source, 0)) as connection:
        return _http2(connection, case) if case.http2 else _http1(connection, case)


def _http1(connection: socket.socket, case: Case) -> Reply:
    reply, buffer = Reply(), b""
    # A refusal may come, and the connection end, before all is sent.
    with contextlib.suppress(OSError):
        connection.sendall(case.request)
        while len(reply.statuses) < len(case.statuses) and (said := connection.recv(65536)):
            buffer = _parse(reply, buffer + said, case)
        if case.then and 101 in reply.statuses:
            connection.sendall(case.then)
            while len(reply.echo) < len(case.then) and (said := connection.recv(65536)):
                reply.echo += said
        # Whatever else is there now has to come before the end.
        connection.shutdown(socket.SHUT_WR)
        while said := connection.recv(65536):
            buffer = _parse(reply, buffer + said, case)
    return reply


def _parse(reply: Reply, buffer: bytes, case: Case) -> bytes:
    """Take complete answers off the buffer."""
    while b"\r\n\r\n" in buffer:
        head, _, rest = buffer.partition(b"\r\n\r\n")
        status = int(head.split(b" ")[1])
        if status < 200 and status != 101:
            reply.interim.append(status)
            buffer = rest
            continue
        length = _LENGTH.search(head)
        size = int(length[1]) if length and not case.request.startswith(b"HEAD ") else 0
        if _CHUNKED.search(head):
            size = rest.find(b"0\r\n\r\n") + 5
            if size < 5:
                return buffer
        if len(rest) < size:
            return buffer
        reply.statuses.append(status)
        reply.heads.append(head)
        reply.bodies.append(rest[:size])
        buffer = rest[size:]
    return buffer


def _http2(connection: socket.socket, case: Case) -> Reply:
    reader = Reader()
    with contextlib.suppress(OSError):
        connection.sendall(case.request)
        for one in frames(connection):
            reader.take(*one)
            answered = [stream for stream in reader.streams.values() if stream.over]
            if reader.gone or len(answered) >= max(1, len(case.statuses)):
                break
    statuses = [int(stream.value(b":status") or 0) for _, stream in sorted(reader.streams.items())]
    heads = [repr(stream.heads).encode() for _, stream in sorted(reader.streams.items())]
    bodies = [stream.body for _, stream in sorted(reader.streams.items())]
    return Reply([status for status in statuses if status], [], heads, bodies)
