"""HTTP/1.1 over keep-alive connections, one request in flight on each: by h2load where it is there, else from here.

A generator counts answers, statuses and times, and nothing else, so that it costs less than what it measures.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


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


async def run(address: str, path: str, token: str, connections: int, requests: int) -> Load:
    """Ask HOST:PORT for `path` so many times, on so many connections. A number, since one that ends by the clock
    leaves requests behind that nobody waits for.
    """
    if h2load := shutil.which("h2load"):
        command = (h2load, "--h1", "-c", str(connections), "-n", str(requests))
        return await _by_h2load(*command, "-H", f"authorization: Bearer {token}", f"http://{address}{path}")
    request = f"GET {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\r\n".encode()
    return await _from_here(address, request, connections, requests)


async def _by_h2load(*command: str) -> Load:
    with tempfile.TemporaryDirectory(prefix="gl-load-") as directory:
        log = Path(directory, "log")
        process = await asyncio.create_subprocess_exec(
            *command,
            *("--log-file", str(log)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        assert process.returncode == 0, said.decode()
        # Microseconds since the epoch at the start, status, microseconds taken.
        lines = [line.split() for line in log.read_text().splitlines()]
    began = min(int(line[0]) for line in lines)
    ended = max(int(line[0]) + int(line[2]) for line in lines)
    return Load(
        (ended - began) / 1e6, Counter(int(line[1]) for line in lines), [int(line[2]) / 1e6 for line in lines]
    )


async def _from_here(address: str, request: bytes, connections: int, requests: int) -> Load:
    host, _, port = address.rpartition(":")
    load, began, left = Load(), time.perf_counter(), iter(range(requests))
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(lambda: _Connection(request, load, left), host, int(port))
        for _ in range(min(connections, requests))
    ]
    await asyncio.gather(*(protocol.done for _, protocol in made))
    load.seconds = time.perf_counter() - began
    return load


class _Connection(asyncio.Protocol):
    def __init__(self, request: bytes, load: Load, left: Iterator[int]) -> None:
        self.request, self.load, self.left = request, load, left
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
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        if error:
            self.done.set_exception(error)
        else:
            self.done.set_result(None)

    def _send(self) -> None:
        if next(self.left, None) is None:
            self.transport.close()
            return
        self.sent = time.perf_counter()
        self.transport.write(self.request)  # type: ignore[attr-defined]
