"""An upstream with TLS that answers with what it got, serves a JWKS, and opens WebSockets that echo bytes."""

from __future__ import annotations

import base64
import hashlib
import json
import ssl
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from throwaway_ca import Pair

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class GuardedUpstream:
    """Serves while its block runs. `files`: JSON by path."""

    def __init__(self, pair: Pair, files: Mapping[str, Any]) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)

        class Handler(_Handler):
            known = files

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self.port: int = self._server.server_address[1]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    known: Mapping[str, Any] = {}

    def do_GET(self) -> None:
        if self.headers.get("upgrade", "").lower() == "websocket":
            self._echo()
            return
        path = self.path.partition("?")[0]
        body = self.known.get(
            path, {"path": self.path, "headers": [list(one) for one in self.headers.items()]}
        )
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _echo(self) -> None:
        key = self.headers["sec-websocket-key"].encode()
        accept = base64.b64encode(hashlib.sha1(key + _GUID).digest()).decode()
        self.send_response(101)
        for name, value in (
            ("upgrade", "websocket"),
            ("connection", "upgrade"),
            ("sec-websocket-accept", accept),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.close_connection = True
        while received := self.connection.recv(1024):
            self.connection.sendall(received)

    def log_message(self, *_: object) -> None:
        pass
