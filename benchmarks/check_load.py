"""A small client of Checks: HTTP/2 as Envoy speaks it to one server, with frames made beforehand.

Every answer is looked at: it has to be its own request's, and to say what is expected. That costs less than the server.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import selectors
import socket
import struct
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from extauthz import wire
from extauthz.http2 import frames
from extauthz.http2.hpack import literal
from extauthz.shallow import varint
from protos.gen import ext_authz_pb2

if TYPE_CHECKING:
    from collections.abc import Sequence

CHECK = "/envoy.service.auth.v3.Authorization/Check"
# Envoy's own: what it lets a service of its send beforehand.
_STREAM_WINDOW = 256 * 1024 * 1024
_HEADERS = (
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", CHECK.encode()),
    (b":authority", b"extauthz"),
    (b"te", b"trailers"),
    (b"grpc-timeout", b"2000m"),
    (b"content-type", b"application/grpc"),
    (b"x-gateledger-node", b"edge"),
    (b"x-envoy-internal", b"true"),
    (b"x-forwarded-for", b"192.0.2.1"),
)
_BLOCK = b"".join(literal(name, value) for name, value in _HEADERS)
# The first block after the server's SETTINGS says that the table is gone (RFC 7541, 4.2).
_SHRUNK = b"\x20"
# A token's header, whose fields Envoy repeats in any order when the token is good; and characters of a signature.
_JOSE = {"alg": "RS256", "kid": "2026-11", "typ": "JWT"}
_ORDERS = tuple(itertools.permutations(_JOSE))
_SIGNATURE = 342
_HEAD = struct.Struct(">IBI")
_READ_BYTES = 256 * 1024
# Of the connection's window so much is used before it is given back.
_USED_BYTES = 2**29


@dataclass(frozen=True, slots=True)
class Asked:
    """One Check: its message, and two texts that its answer holds and those of others do not both hold."""

    message: bytes
    code: bytes = b""
    path: bytes = b""


@dataclass
class Taken:
    """What came of a run: seconds in all, and of each Check."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)

    def quantile(self, q: float) -> float:
        """Milliseconds within which the share q was answered."""
        return sorted(self.latencies)[int(q * (len(self.latencies) - 1))] * 1e3


def envoy_check(subject: str, service: str, path: str, method: str, number: int) -> bytes:
    """A Check as Envoy sends it with envoy/bootstrap.yaml: those headers, jwt_authn's metadata, the route's.

    Fields in their order, those of maps in any.
    """
    message = ext_authz_pb2.CheckRequest()
    attributes = message.attributes
    for peer, port in ((attributes.source, 40_000 + number % 20_000), (attributes.destination, 10_000)):
        peer.address.socket_address.address, peer.address.socket_address.port_value = "192.0.2.7", port
    attributes.request.time.seconds, attributes.request.time.nanos = 1_790_000_000, number % 10**9
    http = attributes.request.http
    http.id, http.method, http.path, http.host = str(number * 7919), method, path, f"{service}.example"
    http.scheme, http.protocol = "http", "HTTP/1.1"
    name = f"0b8a3f0e-7d0c-4a6e-9a53-{number:012x}".encode()
    lines = (
        (":authority", http.host.encode()),
        (":path", path.encode()),
        ("authorization", _token(subject)),
        ("x-request-id", name),
    )
    for key, value in lines:
        header = http.header_map.headers.add()
        header.key, header.raw_value = key, value
    told = attributes.SerializeToString()
    told += _field(11, _verified(_ORDERS[number % len(_ORDERS)]))
    told += _field(13, _metadata("gateledger", wire.metadata_entry("service", service)))
    return _field(1, told)


def _verified(order: Sequence[str]) -> bytes:
    """What jwt_authn says of a good token."""
    header = b"".join(wire.metadata_entry(name, _JOSE[name]) for name in order)
    entry = _field(1, b"demo.header") + _field(2, _field(5, header))
    return _metadata("envoy.filters.http.jwt_authn", _field(1, entry))


def _metadata(namespace: str, fields: bytes) -> bytes:
    """A core.v3.Metadata with a Struct's fields; written by hand, since protobuf would choose their order."""
    return _field(1, _field(1, namespace.encode()) + _field(2, fields))


def _field(number: int, content: bytes) -> bytes:
    return bytes((number << 3 | 2,)) + varint(len(content)) + content


def _token(subject: str) -> bytes:
    """What a subject's token looks like; the signature only looks like one."""
    claims = {
        "sub": subject,
        "roles": [],
        "iss": "https://issuer.example",
        "aud": "gateledger",
        "exp": 1_900_000_000,
        "iat": 1_800_000_000,
        "jti": str(uuid.uuid5(uuid.NAMESPACE_URL, subject)),
    }
    header, payload = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (_JOSE, claims)
    )
    signature = base64.urlsafe_b64encode(hashlib.shake_128(payload).digest(_SIGNATURE))[:_SIGNATURE]
    return b"Bearer " + b".".join((header, payload, signature))


class Client:
    """One connection to a server of Checks, at `unix:PATH` or `HOST:PORT`."""

    def __init__(self, address: str, asked: Sequence[Asked]) -> None:
        if address.startswith("unix:"):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.connect(address.removeprefix("unix:"))
        else:
            host, _, port = address.rpartition(":")
            self.socket = socket.create_connection((host, int(port)))
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._asked = asked
        self._pieces = [_pieces(each.message) for each in asked]
        self._stream = 1
        self._rest = b""
        self._used = 0
        self._sent: dict[int, tuple[Asked, float]] = {}
        self._answered: set[int] = set()
        settings = frames.settings({frames.INITIAL_WINDOW_SIZE: _STREAM_WINDOW})
        wide = frames.window_update(0, frames.MAX_WINDOW - frames.DEFAULT_WINDOW)
        self.socket.sendall(frames.PREFACE + settings + wide)
        self._greeted = False
        while not self._greeted:
            self._receive(Taken())
        self._send(1, 0.0, _SHRUNK)
        while self._sent:
            self._receive(Taken())

    def close(self) -> None:
        self.socket.close()

    def closed_loop(self, count: int, in_flight: int) -> Taken:
        """So many Checks, always as many of them on their way."""
        taken, begun = Taken(), time.perf_counter()
        self._send(min(in_flight, count), begun)
        sent = min(in_flight, count)
        while len(taken.latencies) < count:
            more = min(self._receive(taken), count - sent)
            if more:
                self._send(more, time.perf_counter())
                sent += more
        taken.seconds = time.perf_counter() - begun
        return taken

    def open_loop(self, count: int, per_second: float) -> Taken:
        """So many Checks, each sent when it is due, whether those before are answered or not."""
        taken, begun, sent = Taken(), time.perf_counter(), 0
        # Not epoll: Python rounds its waits up to whole milliseconds, which makes five Checks at a time of 5,000/s.
        with selectors.SelectSelector() as selector:
            selector.register(self.socket, selectors.EVENT_READ)
            while len(taken.latencies) < count:
                now = time.perf_counter()
                while sent < count and begun + sent / per_second <= now:
                    self._send(1, begun + sent / per_second)
                    sent += 1
                wait = begun + sent / per_second - time.perf_counter() if sent < count else 5.0
                if selector.select(max(0.0, wait)):
                    self._receive(taken)
        taken.seconds = time.perf_counter() - begun
        return taken

    def _send(self, count: int, now: float, before: bytes = b"") -> None:
        out: list[bytes] = []
        for _ in range(count):
            number, self._stream = self._stream, self._stream + 2
            place = (number >> 1) % len(self._pieces)
            first, middle, last = (
                _pieces(self._asked[place].message, before) if before else self._pieces[place]
            )
            on = number.to_bytes(4)
            out += (first, on, middle, on, last)
            self._sent[number] = self._asked[place], now
        self.socket.sendall(b"".join(out))

    def _receive(self, taken: Taken) -> int:
        """Read once; how many answers became whole. Raises AssertionError for one that is wrong."""
        data = self.socket.recv(_READ_BYTES)
        if not data:
            raise ConnectionError("the server closed the connection")
        now = time.perf_counter()
        data = self._rest + data
        at, end, done = 0, len(data), 0
        while end - at >= frames.HEAD_BYTES:
            head, flags, number = _HEAD.unpack_from(data, at)
            start = at + frames.HEAD_BYTES
            stop = start + (head >> 8)
            if stop > end:
                break
            kind = head & 0xFF
            if kind == frames.DATA and number:
                asked = self._sent[number][0]
                right = data.find(asked.code, start, stop) >= 0 and data.find(asked.path, start, stop) >= 0
                assert right, data[start:stop]
                self._answered.add(number)
                self._used += stop - start
            elif kind == frames.HEADERS and flags & frames.END_STREAM:
                self._answered.remove(number)
                taken.latencies.append(now - self._sent.pop(number)[1])
                done += 1
            else:
                self._aside(kind, flags, data[start:stop])
            at = stop
        self._rest = data[at:]
        if self._used > _USED_BYTES:
            self.socket.sendall(frames.window_update(0, self._used))
            self._used = 0
        return done

    def _aside(self, kind: int, flags: int, payload: bytes) -> None:
        """What is no answer."""
        assert kind not in (frames.RST_STREAM, frames.GOAWAY), payload
        if kind in (frames.SETTINGS, frames.PING) and not flags & frames.ACK:
            self._greeted = True
            said = payload if kind == frames.PING else b""
            self.socket.sendall(frames.frame(kind, frames.ACK, 0, said))


def _pieces(message: bytes, before: bytes = b"") -> tuple[bytes, bytes, bytes]:
    """A call's frames, around the two places of its stream's number."""
    headers = frames.frame(frames.HEADERS, frames.END_HEADERS, 0, before + _BLOCK)
    body = b"\x00" + len(message).to_bytes(4) + message
    data = frames.frame(frames.DATA, frames.END_STREAM, 0, body)
    return headers[:5], headers[9:] + data[:5], data[9:]
