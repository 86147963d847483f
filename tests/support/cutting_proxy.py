"""A TCP proxy that loses answers: the server has done its work, and the client never hears of it."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from typing import Self


class CuttingProxy:
    """Forwards to 127.0.0.1:`port`. The first `cuts` answers to requests that contain `marker` are
    dropped, and the connection is reset, once their first byte has come from the server.
    """

    def __init__(self, port: int, marker: bytes, cuts: int) -> None:
        self._upstream = port
        self._marker = marker
        self._cuts = cuts
        self.done = 0
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: list[socket.socket] = [self._listener]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._upstream))
                self._open += [client, server]
                pair = _Pair(client, server)
                threading.Thread(target=self._requests, args=(pair,), daemon=True).start()
                threading.Thread(target=self._answers, args=(pair,), daemon=True).start()

    def _requests(self, pair: _Pair) -> None:
        with contextlib.suppress(OSError):
            while data := pair.client.recv(65536):
                pair.marked = pair.marked or self._marker in data
                pair.server.sendall(data)
        pair.close()

    def _answers(self, pair: _Pair) -> None:
        with contextlib.suppress(OSError):
            while data := pair.server.recv(65536):
                if pair.marked and self._cut():
                    pair.reset()
                    break
                pair.marked = False
                pair.client.sendall(data)
        pair.close()

    def _cut(self) -> bool:
        with self._lock:
            cut = self.done < self._cuts
            self.done += cut
            return cut


class _Pair:
    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client, self.server, self.marked = client, server, False

    def reset(self) -> None:
        # Linger 0: closing sends RST.
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def close(self) -> None:
        for each in (self.client, self.server):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
