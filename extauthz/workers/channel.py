"""Messages between the parent and one worker, over a pair of sockets: a head of JSON, and a body of bytes.

The parent asks, the worker answers each question once, in any order. The end of the one is the end of the
connection for the other: no signal, file or clock is needed to know of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

# Lengths of head and body in bytes.
_LENGTHS = struct.Struct("!II")


class Gone(Exception):  # noqa: N818 - not an error of anybody's: the other side ended
    """The other side of the channel has ended."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `head` is what JSON can hold."""

    head: Mapping[str, Any]
    body: bytes = b""


class Channel:
    """One end of the pair."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, end: socket.socket) -> Self:
        return cls(*await asyncio.open_unix_connection(sock=end))

    def send(self, message: Message) -> None:
        """Send it as soon as the other side reads. Raises Gone where it is known that it will not."""
        # uvloop refuses what is written after the other side's end, which may be seen here before `receive` tells of it.
        if self._writer.is_closing():
            raise Gone
        head = json.dumps(message.head).encode()
        self._writer.writelines((_LENGTHS.pack(len(head), len(message.body)), head, message.body))

    async def receive(self) -> Message:
        """The next message. Raises Gone."""
        try:
            lengths = await self._reader.readexactly(_LENGTHS.size)
            head, body = _LENGTHS.unpack(lengths)
            return Message(
                json.loads(await self._reader.readexactly(head)), await self._reader.readexactly(body)
            )
        except (asyncio.IncompleteReadError, OSError) as error:
            raise Gone from error

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


class Asking:
    """The parent's side: questions, and the answers to them."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._numbers = itertools.count()
        self._open: dict[int, asyncio.Future[Message]] = {}
        self._gone = False
        self._task = asyncio.create_task(self._listen())

    async def ask(self, what: str, more: Mapping[str, Any], body: bytes) -> Message:
        """The answer. Raises Gone where none will come."""
        if self._gone:
            raise Gone
        number = next(self._numbers)
        told: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._open[number] = told
        try:
            self._channel.send(Message({**more, "do": what, "number": number}, body))
            return await told
        finally:
            del self._open[number]

    async def close(self) -> None:
        await self._channel.close()
        await self._task

    async def _listen(self) -> None:
        try:
            while True:
                message = await self._channel.receive()
                told = self._open.get(message.head["number"])
                if told is not None and not told.done():
                    told.set_result(message)
        except Gone:
            self._gone = True
            for told in self._open.values():
                if not told.done():
                    told.set_exception(Gone())
