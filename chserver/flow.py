"""The body of an INSERT that the engine reads while it still comes: from a pipe, which the kernel fills from the socket.

A body of 96 MiB in a file is memory that nobody has touched for a while, which a virtual machine may have to be given
first. The pipe holds one MiB of it, so whoever sends goes as fast as the engine reads.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect

from chserver.arrival import MOVE, PIPE_BYTES, duplicate, widen

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO

    from chserver.arrival import Rest

# How long a body may stand still while the engine waits for it. Nothing but loopback is between.
_STALL_SECONDS = 60.0
# At once, of what nobody reads any more.
_SPILL_BYTES = 1 << 16


class Flow:
    """A body that the engine reads from `file`, a pipe, while it comes. Where it is cut off the engine finds an end,
    so its format must be one that takes no cut for an end.
    """

    def __init__(self, begin: bytes, rest: Rest) -> None:
        """`begin`: the data that were received before `rest`."""
        # That they do not block is true of these two ends only: the engine opens its own by the number of `file`.
        out, into = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        # Files, not numbers: a request that fails before it feeds lets them go.
        self.file: IO[bytes] = os.fdopen(out, "rb", buffering=0)
        self._into: IO[bytes] = os.fdopen(into, "wb", buffering=0)
        widen(into)
        self._begin = begin
        self._rest = rest
        self._over = False

    async def feed(self) -> None:
        """Move all of the body. Raises ClientDisconnect when it ends too soon or stands still.

        The pipe ends with it in any case, for the engine's thread waits for that.
        """
        rest = self._rest
        try:
            async with asyncio.timeout(_STALL_SECONDS) as limit:
                await self._write(memoryview(self._begin + rest.begun()), limit)
                async with rest.moving() as socket:
                    if socket is not None:
                        await self._move(socket, rest.left, limit)
        except TimeoutError:
            raise ClientDisconnect from None
        finally:
            self._into.close()

    def over(self) -> None:
        """The engine reads no more: what still comes is thrown away, for the next request stands behind it."""
        self._over = True
        # Whoever waits for room in the pipe has it now.
        self._spill()

    async def _write(self, data: memoryview, limit: asyncio.Timeout) -> None:
        while data:
            try:
                data = data[os.write(self._into.fileno(), data) :]
            except BlockingIOError:
                await self._room(limit)

    async def _move(self, socket: int, left: int, limit: asyncio.Timeout) -> None:
        loop = asyncio.get_running_loop()
        into = self._into.fileno()
        with duplicate(socket) as source:
            while left:
                try:
                    taken = os.splice(source, into, min(left, PIPE_BYTES), flags=MOVE)
                except BlockingIOError:
                    if _has_room(into):
                        await _until(loop.add_reader, loop.remove_reader, source)
                        _go_on(limit)
                    else:
                        await self._room(limit)
                    continue
                except ConnectionError:
                    raise ClientDisconnect from None
                if not taken:
                    raise ClientDisconnect
                left -= taken
                # The others' turn: engine and client may keep up with each other to the end.
                await asyncio.sleep(0)

    async def _room(self, limit: asyncio.Timeout) -> None:
        """Wait until the pipe takes more: without a limit, for the engine may have others' statements to run first."""
        loop = asyncio.get_running_loop()
        limit.reschedule(None)
        if self._over:
            self._spill()
        else:
            await _until(loop.add_writer, loop.remove_writer, self._into.fileno())
        _go_on(limit)

    def _spill(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self.file.fileno(), _SPILL_BYTES):
                pass


async def _until(add: Callable[..., None], remove: Callable[[int], bool], fd: int) -> None:
    """Wait for the loop to call, once."""
    ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    add(fd, _succeed, ready)
    try:
        await ready
    finally:
        remove(fd)


def _succeed(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def _go_on(limit: asyncio.Timeout) -> None:
    limit.reschedule(asyncio.get_running_loop().time() + _STALL_SECONDS)


def _has_room(pipe: int) -> bool:
    poll = select.poll()
    poll.register(pipe, select.POLLOUT)
    return bool(poll.poll(0))
