"""The server: connections, the calls that wait for their turn, and the end of it all. One event loop's."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from extauthz.http2.connection import Connection
from extauthz.http2.frames import ErrorCode
from extauthz.http2.head import Head
from extauthz.http2.limits import Counts, Limits
from extauthz.http2.status import RpcError, Status

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

    from extauthz.http2.method import Feed, Method
    from extauthz.http2.streams import Streams

# A whole call: its connection, its stream's number, what it calls, its message.
Call = tuple["Streams", int, "Method", bytes]

# How many calls are answered before other connections get a look in.
_TURN = 32
_SWEEP_SECONDS = 1.0
# Header blocks whose meaning is kept; Envoy's are all alike.
_HEADS = 256
_BACKLOG = 512
_POLL_SECONDS = 0.01


class Server:
    """Serves methods by their path, "/package.Service/Method". `failed` is told what a method raises by mistake."""

    def __init__(
        self,
        methods: Mapping[str, Method],
        limits: Limits | None = None,
        failed: Callable[[Exception], None] = lambda _: None,
    ) -> None:
        self.methods = {path.encode(): method for path, method in methods.items()}
        self.limits = limits or Limits()
        self.counts = Counts()
        self.heads: dict[bytes, Head] = {}
        # Connections that have something to send.
        self.dirty: list[Streams] = []
        # Calls that are whole and not answered.
        self.inside = 0
        self.connections: set[Connection] = set()
        self._failed = failed
        self._queue: deque[Call] = deque()
        self._listeners: list[asyncio.AbstractServer] = []
        self._again = False
        self._sweeper: asyncio.TimerHandle | None = None

    async def listen(self, listener: socket.socket) -> None:
        """Serve connections of a bound socket, which then belongs to this server."""
        loop = asyncio.get_running_loop()
        # Whoever gave it its path takes the path away: a later server may have it by then.
        made = await loop.create_server(lambda: Connection(self), sock=listener, backlog=_BACKLOG)
        self._listeners.append(made)
        if self._sweeper is None:
            self._sweeper = loop.call_later(_SWEEP_SECONDS, self._sweep)

    async def stop(self, grace_seconds: float) -> None:
        """Take nothing new, let go what is inside, close. In-flight answers have so many seconds."""
        for listener in self._listeners:
            listener.close()
        for connection in list(self.connections):
            connection.drain()
        self.flush()
        until = time.monotonic() + grace_seconds
        while time.monotonic() < until and any(connection.streams for connection in self.connections):  # noqa: ASYNC110 - many events, looked at together
            await asyncio.sleep(_POLL_SECONDS)
        for connection in list(self.connections):
            connection.close()
        while time.monotonic() < until and self.connections:  # noqa: ASYNC110 - as before
            await asyncio.sleep(_POLL_SECONDS)
        for connection in list(self.connections):
            connection.abort()
        if self._sweeper is not None:
            self._sweeper.cancel()

    # What connections call.

    def joined(self, connection: Connection) -> bool:
        """Whether there is room for one more."""
        if len(self.connections) >= self.limits.connections:
            self.counts.connections_refused += 1
            return False
        self.counts.connections += 1
        self.connections.add(connection)
        return True

    def left(self, connection: Connection) -> None:
        self.connections.discard(connection)

    def remember(self, block: bytes, head: Head) -> None:
        """What a block means on every connection without a dynamic table."""
        if len(self.heads) >= _HEADS:
            self.heads.clear()
        self.heads[block] = head

    def take(self, connection: Streams, number: int, method: Method, message: bytes) -> None:
        """A whole call: its turn comes, or it is turned away at once."""
        self.counts.calls += 1
        self.inside += 1
        if self.inside <= method.limit:
            self._queue.append((connection, number, method, message))
        elif method.crowded is None:
            self._end(connection, number, Status.RESOURCE_EXHAUSTED, "too many calls at a time")
        else:
            caller = connection.streams[number].head.caller
            self._answer(connection, number, partial(method.crowded, message, caller))

    def take_all(self, calls: list[Call], method: Method) -> None:
        """As `take`, for calls of one method."""
        inside = self.inside + len(calls)
        if inside > method.limit:
            for call in calls:
                self.take(*call)
            return
        self.counts.calls += len(calls)
        self.inside = inside
        self._queue.extend(calls)

    def turn(self) -> None:
        """Answer some of the calls that wait; the rest when other connections had their look in."""
        queue, counts, left = self._queue, self.counts, _TURN
        while queue and left:
            left -= 1
            connection, number, method, message = queue.popleft()
            stream = connection.streams.get(number)
            if stream is None:
                self.inside -= 1
                continue
            head = stream.head
            timeout = head.timeout
            deadline = None if timeout is None else stream.since + timeout
            try:
                answer = method.call(message, head.caller, deadline)
            except Exception as error:  # noqa: BLE001 - a method's mistake ends its call, not the server
                self._failed_call(connection, number, error)
            else:
                if answer.__class__ is bytes:
                    # As `_answered`, for nearly all.
                    self.inside -= 1
                    counts.answers += 1
                    connection.answer(number, answer)
                else:
                    self._answered(connection, number, answer)
        if queue and not self._again:
            self._again = True
            asyncio.get_running_loop().call_soon(self._next_turn)
        self.flush()

    def flush(self) -> None:
        """What connections gathered leaves."""
        dirty = self.dirty
        if dirty:
            self.dirty = []
            for connection in dirty:
                connection.flush()

    def _next_turn(self) -> None:
        self._again = False
        self.turn()

    # Answers.

    def _answer(
        self,
        connection: Streams,
        number: int,
        ask: Callable[[], bytes | asyncio.Future[bytes]],
    ) -> None:
        try:
            answer = ask()
        except Exception as error:  # noqa: BLE001 - as in turn
            self._failed_call(connection, number, error)
        else:
            self._answered(connection, number, answer)

    def _answered(
        self, connection: Streams, number: int, answer: bytes | asyncio.Future[bytes] | Feed
    ) -> None:
        if isinstance(answer, bytes):
            self.inside -= 1
            self.counts.answers += 1
            connection.answer(number, answer)
        elif asyncio.isfuture(answer):
            answer.add_done_callback(partial(self._settled, connection, number))
        else:
            try:
                detach = answer.attach(partial(self._fed, connection, number))
            except Exception as error:  # noqa: BLE001 - as in turn
                self._failed_call(connection, number, error)
                return
            self.inside -= 1
            stream = connection.own(number)
            if stream is not None:
                stream.detach = detach
            else:
                # Its first message was too much for the connection already.
                detach()

    def _failed_call(self, connection: Streams, number: int, error: Exception) -> None:
        if isinstance(error, RpcError):
            self._end(connection, number, error.status, error.text)
        else:
            self._failed(error)
            self._end(connection, number, Status.INTERNAL, "the method failed")

    def _settled(self, connection: Streams, number: int, answer: asyncio.Future[bytes]) -> None:
        if answer.cancelled():
            self._end(connection, number, Status.UNAVAILABLE, "the server stops")
        else:
            self._answer(connection, number, answer.result)
        self.flush()

    def _fed(self, connection: Streams, number: int, message: bytes) -> None:
        connection.feed(number, message)
        self.flush()

    def _end(self, connection: Streams, number: int, status: Status, text: str) -> None:
        self.inside -= 1
        connection.end(number, Head(status=status, text=text))

    # Those who dawdle.

    def _sweep(self) -> None:
        """Let go of connections that never greet, of idle ones, and of calls that never become whole."""
        now, limits = time.monotonic(), self.limits
        for connection in list(self.connections):
            if connection.closing:
                if now - connection.heard > limits.farewell_seconds:
                    connection.abort()
            elif not connection.greeted and now - connection.since > limits.greeting_seconds:
                connection.fail(ErrorCode.SETTINGS_TIMEOUT, "no greeting")
            elif connection.starved(now):
                connection.fail(ErrorCode.ENHANCE_YOUR_CALM, "answers wait for a window that does not open")
            elif (
                connection.clogged_since is not None
                and now - connection.clogged_since > limits.blocked_seconds
            ):
                connection.fail(ErrorCode.ENHANCE_YOUR_CALM, "what was sent is not read")
                connection.abort()
            elif now - connection.heard > limits.idle_seconds and not connection.streams:
                connection.fail(ErrorCode.NO_ERROR, "nothing came for long")
            else:
                for number, stream in list(connection.streams.items()):
                    if not stream.ended and now - stream.since > limits.request_seconds:
                        connection.cancel(number, ErrorCode.CANCEL)
        self.flush()
        self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._sweep)
