"""An Envoy's access log streams without the Envoy: messages out of a file, at a rate, as a process of its own.

`als_sender.py ADDRESS FILE STREAMS RATE SECONDS` sends the file's messages over and over, RATE entries a
second over all streams (0: as fast as they are taken), and prints what it sent and what CPU it took as JSON.
SECONDS 0: each once. ADDRESS: unix:PATH. The file: entries of a message, bytes of a message, then the message,
each number as 4 bytes.

The receiver shares the machine, so a sender must cost little: gRPC is spoken with frames that are made
beforehand, of 16 KiB as Envoy's, one connection a stream, within the windows that the receiver opens.
"""

from __future__ import annotations

import itertools
import json
import math
import selectors
import socket
import struct
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import hpack

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

METHOD = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs"
_FILE_HEAD = struct.Struct("<II")
_FRAME_HEAD = struct.Struct(">BHBBI")
_PAYLOAD = 16_384
_FRAME = _FRAME_HEAD.size + _PAYLOAD
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_INITIAL_WINDOW = 4
_READ = 1 << 16
_STREAM = 1


def write(file: Path, messages: Iterable[tuple[int, bytes]]) -> None:
    """Messages with the number of their entries, for `read`."""
    file.write_bytes(b"".join(_FILE_HEAD.pack(entries, len(data)) + data for entries, data in messages))


def read(file: Path) -> list[tuple[int, bytes]]:
    """Entries and frames of each message."""
    data, at, found = file.read_bytes(), 0, []
    while at < len(data):
        entries, size = _FILE_HEAD.unpack_from(data, at)
        at += _FILE_HEAD.size
        found.append((entries, framed(data[at : at + size])))
        at += size
    return found


def frame(kind: int, flags: int, payload: bytes = b"", stream: int = _STREAM) -> bytes:
    size = len(payload)
    return _FRAME_HEAD.pack(size >> 16, size & 0xFFFF, kind, flags, stream) + payload


def framed(message: bytes) -> bytes:
    """The message as gRPC's, in DATA frames: all of `_FRAME` bytes but the last."""
    data = struct.pack(">BI", 0, len(message)) + message
    return b"".join(frame(_DATA, 0, data[at : at + _PAYLOAD]) for at in range(0, len(data), _PAYLOAD))


class Connection:
    """One connection with one stream: sends what it was given, as far as the receiver's windows are open."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(address.removeprefix("unix:"))
        self.over = False
        self._windows = {0: 65_535, _STREAM: 65_535}
        self._initial = 65_535
        self._came = bytearray()
        self._decoder = hpack.Decoder()
        # What is sent, how far it was, and how far the windows let it go.
        self._frames = memoryview(b"")
        self._at = self._allowed = 0
        head = [
            (":method", "POST"), (":scheme", "http"), (":path", METHOD), (":authority", "localhost"),
            ("te", "trailers"), ("content-type", "application/grpc"),
        ]  # fmt: skip
        begin = frame(_SETTINGS, 0, stream=0) + frame(_HEADERS, _END_HEADERS, hpack.Encoder().encode(head))
        self.socket.sendall(_PREFACE + begin)
        self.socket.setblocking(False)

    @property
    def idle(self) -> bool:
        """Whether all that was given is sent."""
        return self._at == len(self._frames)

    @property
    def blocked(self) -> bool:
        """Whether only the receiver can help: nothing to send, or its windows are closed."""
        return self._at == self._allowed and not self._allow()

    def give(self, frames: bytes) -> None:
        self._frames, self._at, self._allowed = memoryview(frames), 0, 0

    def end(self) -> None:
        self.give(frame(_DATA, _END_STREAM))

    def send(self) -> None:
        if not self.blocked:
            self._at += self.socket.send(self._frames[self._at : self._allowed])

    def receive(self) -> None:
        """Take in what came: windows, settings, pings, the answer. Raises ConnectionError when it is not good."""
        came = self.socket.recv(_READ)
        if not came:
            raise ConnectionError("the receiver closed the connection")
        self._came += came
        while len(self._came) >= _FRAME_HEAD.size:
            high, low, kind, flags, stream = _FRAME_HEAD.unpack_from(self._came)
            end = _FRAME_HEAD.size + (high << 16 | low)
            if len(self._came) < end:
                return
            payload = bytes(self._came[_FRAME_HEAD.size : end])
            del self._came[:end]
            self._handle(kind, flags, stream, payload)

    def _handle(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == _WINDOW:
            self._windows[stream] += int.from_bytes(payload, "big")
        elif kind == _SETTINGS and not flags & _ACK:
            for number, value in struct.iter_unpack(">HI", payload):
                if number == _INITIAL_WINDOW:
                    self._windows[_STREAM] += value - self._initial
                    self._initial = value
            self._answer(frame(_SETTINGS, _ACK, stream=0))
        elif kind == _PING and not flags & _ACK:
            self._answer(frame(_PING, _ACK, payload, stream=0))
        elif kind == _HEADERS:
            fields = dict(self._decoder.decode(payload))
            if flags & _END_STREAM:
                if fields.get("grpc-status") != "0":
                    raise ConnectionError(f"the stream failed: {fields}")
                self.over = True
        elif kind in {_RESET, _GOAWAY}:
            raise ConnectionError(f"the receiver ended the stream: frame {kind}, {payload!r}")

    def _answer(self, answer: bytes) -> None:
        """Behind the frame that is being sent."""
        begun = -self._at % _FRAME if self._at < len(self._frames) else 0
        cut = min(self._at + begun, len(self._frames))
        rest = bytes(self._frames[self._at : cut]) + answer
        self.socket.setblocking(True)
        self.socket.sendall(rest)
        self.socket.setblocking(False)
        self._at = cut
        self._allowed = max(self._allowed, cut)

    def _allow(self) -> bool:
        """Let as many whole frames go as the windows have room for; whether there is one."""
        left = len(self._frames) - self._allowed
        window = min(self._windows.values())
        size = left if left - -(-left // _FRAME) * _FRAME_HEAD.size <= window else window // _PAYLOAD * _FRAME
        if left <= 0 or size <= 0:
            return False
        payload = size - -(-size // _FRAME) * _FRAME_HEAD.size
        for stream in self._windows:
            self._windows[stream] -= payload
        self._allowed += size
        return True


class Sender:
    """One run: what was sent so far, over all streams."""

    def __init__(self, messages: list[tuple[int, bytes]], rate: float, seconds: float) -> None:
        self.sent = 0
        self._messages: Iterator[tuple[int, bytes]] = itertools.cycle(messages) if seconds else iter(messages)
        self._rate = rate
        self._began = time.monotonic()
        self._until = self._began + (seconds or math.inf)

    def run(self, connections: list[Connection]) -> None:
        """Send until it is time, then wait for every answer."""
        ended: set[Connection] = set()
        with selectors.DefaultSelector() as ready:
            for connection in connections:
                ready.register(connection.socket, selectors.EVENT_READ, connection)
            while not all(connection.over for connection in connections):
                wait = max(0.0, self._due() - time.monotonic()) if len(ended) < len(connections) else None
                for connection in connections:
                    if connection.idle and connection not in ended and not wait:
                        self._next(connection, ended)
                        wait = max(0.0, self._due() - time.monotonic())
                    events = selectors.EVENT_READ | (0 if connection.blocked else selectors.EVENT_WRITE)
                    ready.modify(connection.socket, events, connection)
                idle = any(connection.idle for connection in connections if connection not in ended)
                for key, events in ready.select(wait if idle else None):
                    if events & selectors.EVENT_READ:
                        key.data.receive()
                    if events & selectors.EVENT_WRITE:
                        key.data.send()

    def _due(self) -> float:
        return min(self._began + self.sent / self._rate, self._until) if self._rate else 0.0

    def _next(self, connection: Connection, ended: set[Connection]) -> None:
        entries, frames = next(self._messages, (0, b"")) if time.monotonic() < self._until else (0, b"")
        self.sent += entries
        if frames:
            connection.give(frames)
        else:
            connection.end()
            ended.add(connection)


def main(address: str, file: str, streams: str, rate: str, seconds: str) -> None:
    messages = read(Path(file))
    connections = [Connection(address) for _ in range(int(streams))]
    before, began = time.process_time(), time.time()
    sender = Sender(messages, float(rate), float(seconds))
    sender.run(connections)
    cpu = time.process_time() - before
    print(json.dumps({"sent": sender.sent, "began": began, "ended": time.time(), "cpu": cpu}))


if __name__ == "__main__":
    main(*sys.argv[1:])
