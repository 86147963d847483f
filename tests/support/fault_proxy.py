"""An HTTP proxy in front of ClickHouse that does to requests what a test asks for."""

from __future__ import annotations

import contextlib
import enum
import http.client
import socket
import struct
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import unquote_plus

_SECONDS = 60
_TOO_MANY_PARTS = (
    "Code: 252. DB::Exception: Too many parts (3001 with average size of 1.00 MiB) in table 'audit.access_log'. "
    "Merges are processing significantly slower than inserts. (TOO_MANY_PARTS)"
)
# What a replica says while its Keeper is away, or has lost the replica's session.
_READ_ONLY = (
    "Code: 242. DB::Exception: Table is in readonly mode since table metadata was not found in zookeeper: "
    "replica_path=/clickhouse/tables/1/access_log/replicas/1. (TABLE_IS_READ_ONLY)"
)
_NO_KEEPER = (
    "Code: 999. Coordination::Exception: Coordination error: Connection loss, path /clickhouse/tables/1/access_log. "
    "(KEEPER_EXCEPTION)"
)
# An INSERT with a quorum of which a replica is lost: it may be stored, or not.
_NO_QUORUM = (
    "Code: 319. DB::Exception: Unknown status, client must retry. Reason: Quorum for previous write has not been "
    "satisfied yet. (UNKNOWN_STATUS_OF_INSERT)"
)


class Fault(enum.Enum):
    """What becomes of a request."""

    NONE = "it is forwarded, and its answer given"
    LOST = "it is forwarded, and its answer is lost: the connection is reset once the answer is there"
    RESET = "it is forwarded, and the connection is reset at once, while the server may still be at it"
    LATE = "the connection is reset, and it reaches the server a second later"
    HALF = "half of its body reaches the server, then both connections break"
    REFUSED = "503, and the server never hears of it"
    STUCK = "the server never hears of it, and there is no answer until the client has gone"
    HELD = "it is forwarded, and its answer is held until the client has gone"
    TOO_MANY_PARTS = "ClickHouse's own error of that name, and the server never hears of it"
    READ_ONLY = "a replica's error while Keeper is away, and the server never hears of it"
    NO_KEEPER = "a replica's error when its connection to Keeper breaks, and the server never hears of it"
    NO_QUORUM = "it is forwarded, and the answer says that nobody knows whether it was stored"


_ERRORS = {
    Fault.TOO_MANY_PARTS: (252, _TOO_MANY_PARTS),
    Fault.READ_ONLY: (242, _READ_ONLY),
    Fault.NO_KEEPER: (999, _NO_KEEPER),
    Fault.NO_QUORUM: (319, _NO_QUORUM),
}


class FaultProxy:
    """Forwards to 127.0.0.1:`port`. `fault` is asked for every request, by its statement."""

    def __init__(self, port: int, fault: Callable[[str], Fault]) -> None:
        self.done: list[Fault] = []
        self.holds = threading.Event()
        """Set once a request is STUCK or HELD, and what the server was to hear of it, it has heard."""
        proxy = self

        class Handler(_Handler):
            def fault(self, statement: str) -> Fault:
                found = fault(statement)
                if found is not Fault.NONE:
                    proxy.done.append(found)
                return found

        Handler.upstream = port
        Handler.holds = self.holds
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def first(count: int, marker: str, fault: Fault) -> Callable[[str], Fault]:
    """The fault for the first `count` requests whose statement contains the marker."""
    left = [count]
    lock = threading.Lock()

    def chosen(statement: str) -> Fault:
        with lock:
            if marker in statement and left[0]:
                left[0] -= 1
                return fault
        return Fault.NONE

    return chosen


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    upstream = 0
    holds: threading.Event

    def fault(self, statement: str) -> Fault:
        raise NotImplementedError

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, *_: object) -> None:
        pass

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            super().handle()

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self.fault(unquote_plus(self.path) + body[:4096].decode("latin-1"))
        if fault is Fault.NONE:
            self._answer(*self._forward(body))
        elif fault is Fault.LOST:
            self._forward(body)
            self._reset()
        elif fault is Fault.RESET:
            sent = threading.Event()
            threading.Thread(target=self._forward, args=(body, sent), daemon=True).start()
            sent.wait(_SECONDS)
            self._reset()
        elif fault is Fault.LATE:
            threading.Thread(target=self._later, args=(body,), daemon=True).start()
            self._reset()
        elif fault is Fault.HALF:
            self._half(body)
            self._reset()
        elif fault in {Fault.STUCK, Fault.HELD}:
            if fault is Fault.HELD:
                self._forward(body)
            self.holds.set()
            # Nothing more is sent on it: the end of the client is what there is to read.
            self.connection.recv(1)
            self._reset()
        elif fault is Fault.REFUSED:
            self._answer(503, {}, b"Service Unavailable")
        else:
            if fault is Fault.NO_QUORUM:
                self._forward(body)
            code, text = _ERRORS[fault]
            self._answer(500, {"X-ClickHouse-Exception-Code": str(code)}, text.encode())

    def _forward(self, body: bytes, sent: threading.Event | None = None) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.upstream, timeout=_SECONDS)
        with contextlib.closing(connection):
            # On the wire before anybody is told so, and not in a buffer of ours.
            connection.request(self.command, self.path, body, self._headers())
            if sent:
                sent.set()
            answer = connection.getresponse()
            kept = {
                name: value
                for name, value in answer.getheaders()
                if name.lower() not in {"content-length", "transfer-encoding", "connection"}
            }
            return answer.status, kept, answer.read()

    def _later(self, body: bytes) -> None:
        time.sleep(1)
        self._forward(body)

    def _half(self, body: bytes) -> None:
        with socket.create_connection(("127.0.0.1", self.upstream)) as server:
            head = [
                f"{self.command} {self.path} HTTP/1.1",
                *(f"{k}: {v}" for k, v in self._headers().items()),
            ]
            head.append(f"Content-Length: {len(body)}")
            server.sendall("\r\n".join([*head, "", ""]).encode() + body[: len(body) // 2])

    def _headers(self) -> dict[str, str]:
        return {
            name: value
            for name, value in self.headers.items()
            if name.lower() not in {"content-length", "connection", "host"}
        } | {"Host": f"127.0.0.1:{self.upstream}"}

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _reset(self) -> None:
        # Linger 0: closing sends RST.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True
        # The handler's own end would write to what is closed.
        self.wfile = open("/dev/null", "wb")  # type: ignore[assignment]  # noqa: SIM115, PTH123
