"""The long body of an INSERT on its way from the socket into its file or the engine, without a detour through Python.

uvicorn's protocol hands a body on in pieces of 64 KiB, each of them copied four times. Here the kernel moves what has
not come yet from the socket by itself (splice), as soon as somebody has looked at its beginning: into a file, or into a
pipe that the engine reads while the body still comes (`chserver.flow`).
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

import httptools
from starlette.requests import ClientDisconnect
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping
    from typing import IO, Any

    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

# The key of a request's scope under which its `Rest` is, if it has one.
REST = "gateledger.rest"
# Below it a body is not worth the pipe.
_LEAST = 1 << 20
# What a pipe may hold without privileges, as Linux has it by default.
PIPE_BYTES = 1 << 20
MOVE = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK


class Rest:
    """What of one request's body has not been read yet. `size`: bytes of the whole body as announced."""

    def __init__(self, protocol: Protocol, cycle: RequestResponseCycle, size: int) -> None:
        self._protocol = protocol
        self._cycle = cycle
        self.size = size
        # What the kernel still has, or the network.
        self.left = size

    async def into(self, file: IO[bytes]) -> None:
        """Write it to the file's position; nothing may be received of this request afterwards.

        Raises ClientDisconnect when the body ends too soon, and OSError when it cannot be written.
        """
        written(file, self.begun())
        async with self.moving() as socket:
            if socket is not None:
                await _move(socket, file.fileno(), self.left)

    def begun(self) -> bytearray:
        """What has come already and was not received; from now on nothing comes unless it is moved."""
        self._protocol.flow.pause_reading()
        begun, self._cycle.body = self._cycle.body, bytearray()
        return begun

    @contextlib.asynccontextmanager
    async def moving(self) -> AsyncIterator[int | None]:
        """The socket, from which all that is left has to be taken in the block; None if nothing is left.

        Raises ClientDisconnect when there is no socket any more.
        """
        if not self.left:
            yield None
            return
        protocol, cycle = self._protocol, self._cycle
        socket = None if protocol.transport.is_closing() else protocol.transport.get_extra_info("socket")
        if socket is None or cycle.disconnected:
            raise ClientDisconnect
        try:
            yield socket.fileno()
        except BaseException:
            # The parser has not seen what is gone from the socket: nothing more may be read from it.
            cycle.keep_alive = False
            raise
        self.left = 0
        protocol.ended(cycle)


class Protocol(HttpToolsProtocol):
    """uvicorn's, which also gives long bodies of known length a `Rest`."""

    _rest: Rest | None = None

    def on_headers_complete(self) -> None:
        """As uvicorn's. The application is called later, with the scope that is added to here."""
        super().on_headers_complete()
        self._rest = None
        size = _announced(self.headers)
        # A request that waits behind another one has the connection not to itself.
        if size >= _LEAST and not self.pipeline:
            self._rest = Rest(self, self.cycle, size)
            self.scope["state"][REST] = self._rest

    def on_body(self, body: bytes) -> None:
        """As uvicorn's, counted."""
        if self._rest:
            self._rest.left -= len(body)
        super().on_body(body)

    def ended(self, cycle: RequestResponseCycle) -> None:
        """The body of this request was read to its end past the parser: what comes now is another request."""
        self.parser = httptools.HttpRequestParser(self)
        cycle.more_body = False
        cycle.message_event.set()


def rest_of(scope: Mapping[str, Any]) -> Rest | None:
    """What of the request's body may be moved, None where it has to be received."""
    found: Rest | None = scope.get("state", {}).get(REST)
    return found


def written(file: IO[bytes], data: bytes | bytearray) -> None:
    """All of the data into an unbuffered file."""
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]


def _announced(headers: list[tuple[bytes, bytes]]) -> int:
    """Content-Length of a body that comes as it is; 0 where it comes in chunks or its length is not known."""
    named = dict(headers)
    length = named.get(b"content-length", b"")
    return int(length) if length.isdigit() and b"transfer-encoding" not in named else 0


async def _move(source: int, target: int, size: int) -> None:
    """So many bytes from a socket that does not block into a file, on the loop: a thread would cost more."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    left = size

    def step() -> None:
        nonlocal left
        try:
            left -= _some(own, pipe, target, min(left, PIPE_BYTES))
        except BlockingIOError:
            return
        except ConnectionError:
            _fail(done, ClientDisconnect())
        except (OSError, EOFError) as error:
            _fail(done, ClientDisconnect() if isinstance(error, EOFError) else error)
        else:
            if not left and not done.done():
                done.set_result(None)

    with duplicate(source) as own, _pipe() as pipe:
        loop.add_reader(own, step)
        try:
            await done
        finally:
            loop.remove_reader(own)


def _fail(done: asyncio.Future[None], error: Exception) -> None:
    if not done.done():
        done.set_exception(error)


def _some(source: int, pipe: tuple[int, int], target: int, most: int) -> int:
    """Move what is there; how much. Raises BlockingIOError for nothing yet, EOFError for nothing any more."""
    out, into = pipe
    taken = left = os.splice(source, into, most, flags=MOVE)
    if not taken:
        raise EOFError
    while left:
        left -= os.splice(out, target, left, flags=os.SPLICE_F_MOVE)
    return taken


def widen(pipe: int) -> None:
    """More at once, where the system allows it."""
    with contextlib.suppress(OSError):
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


@contextlib.contextmanager
def duplicate(source: int) -> Iterator[int]:
    """A second number: the loop lets nobody else watch one that it reads from itself."""
    own = os.dup(source)
    try:
        yield own
    finally:
        os.close(own)


@contextlib.contextmanager
def _pipe() -> Iterator[tuple[int, int]]:
    out, into = os.pipe2(os.O_CLOEXEC)
    try:
        widen(into)
        yield out, into
    finally:
        os.close(out)
        os.close(into)
