"""A small load generator: HTTP/1.1 over keep-alive connections, one request in flight on each.

It counts answers and statuses and nothing else, so that it costs less than what it measures.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Load:
    """What came of a run."""

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        return self.statuses.total() / self.seconds

    def quantile(self, q: float) -> float:
        """Seconds within which the share q of the requests was answered."""
        return sorted(self.latencies)[int(q * (len(self.latencies) - 1))]


class _Connection(asyncio.Protocol):
    def __init__(self, request: bytes, load: Load, until: float) -> None:
        self.request, self.load, self.until = request, load, until
        self.buffer = b""
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head = self.buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        length = self.buffer.lower().find(b"content-length: ")
        size = int(self.buffer[length + 16 : self.buffer.find(b"\r", length)]) if 0 <= length < head else 0
        if len(self.buffer) < head + 4 + size:
            return
        now = time.perf_counter()
        self.load.statuses[int(self.buffer[9:12])] += 1
        self.load.latencies.append(now - self.sent)
        self.buffer = b""
        if now < self.until:
            self._send()
        else:
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if error:
            self.done.set_exception(error)
        else:
            self.done.set_result(None)

    def _send(self) -> None:
        self.sent = time.perf_counter()
        self.transport.write(self.request)  # type: ignore[attr-defined]


async def run(address: str, request: bytes, connections: int, seconds: float) -> Load:
    """Send `request` over and over on `connections` connections to HOST:PORT for `seconds`."""
    host, _, port = address.rpartition(":")
    load, began = Load(), time.perf_counter()
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(lambda: _Connection(request, load, began + seconds), host, int(port))
        for _ in range(connections)
    ]
    await asyncio.gather(*(protocol.done for _, protocol in made))
    load.seconds = time.perf_counter() - began
    return load
