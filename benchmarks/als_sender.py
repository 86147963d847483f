"""An Envoy's access log streams without the Envoy: messages out of a file, at a rate, as a process of its own.

`als_sender.py ADDRESS FILE STREAMS RATE SECONDS` sends the file's messages over and over, RATE entries a
second over all streams (0: as fast as they are taken), and prints what it sent as JSON. SECONDS 0: each once. The file: entries of a
message, bytes of a message, then the message, each number as 4 bytes.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import struct
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import uvloop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

METHOD = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs"
_HEAD = struct.Struct("<II")


def write(file: Path, messages: Iterable[tuple[int, bytes]]) -> None:
    """Messages with the number of their entries, for `read`."""
    file.write_bytes(b"".join(_HEAD.pack(entries, len(data)) + data for entries, data in messages))


def read(file: Path) -> list[tuple[int, bytes]]:
    data, at, found = file.read_bytes(), 0, []
    while at < len(data):
        entries, size = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        found.append((entries, data[at : at + size]))
        at += size
    return found


class Sender:
    """One run: what was sent so far, over all streams."""

    def __init__(self, messages: list[tuple[int, bytes]], rate: float, until: float) -> None:
        self.sent = 0
        self._messages = itertools.cycle(messages) if until else iter(messages)
        self._rate = rate
        self._began = time.monotonic()
        self._until = self._began + (until or math.inf)

    async def stream(self) -> AsyncIterator[bytes]:
        for entries, data in self._messages:
            if time.monotonic() > self._until:
                return
            due = self._began + self.sent / self._rate if self._rate else 0.0
            self.sent += entries
            if due > time.monotonic():
                await asyncio.sleep(due - time.monotonic())
            yield data


async def main(address: str, file: str, streams: str, rate: str, seconds: str) -> None:
    messages = read(Path(file))
    options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        sender, began = Sender(messages, float(rate), float(seconds)), time.time()
        call = channel.stream_unary(METHOD)
        await asyncio.gather(*(call(sender.stream()) for _ in range(int(streams))))
    print(json.dumps({"sent": sender.sent, "began": began, "ended": time.time()}))


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
