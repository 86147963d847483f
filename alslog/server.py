"""The gRPC side: Envoy's streams, read as raw bytes, each message handed to the intake.

A stream is answered only when the client has half-closed it and all its entries are durable. At a
stop, streams that are still open end as UNAVAILABLE instead: nobody can know whether a message of
theirs was still on its way, so nothing is claimed about it.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc
import grpc.aio

from alslog.arrival import Identity, arrival_from, stranger
from service.grpc_server import SERVER_OPTIONS

if TYPE_CHECKING:
    from collections.abc import Coroutine

    import structlog

    from alslog.intake import Intake, Tally

    Context = grpc.aio.ServicerContext[bytes, bytes]

SERVICE = "envoy.service.accesslog.v3.AccessLogService"
METHOD = "StreamAccessLogs"
# A stream that has been silent for two flush intervals of Envoy's default has told what it had.
QUIET_SECONDS = 2.0
_POLL_SECONDS = 0.05
# A stream that breaks first looks like one that ended; its cancellation follows at once.
_CANCEL_SECONDS = 0.005
# StreamAccessLogsResponse, which has no fields.
_ANSWER = b""


@dataclass(slots=True)
class _Stream:
    identity: Identity
    storing: set[asyncio.Task[None]] = field(default_factory=set)
    lost: BaseException | None = None

    def stored(self, task: asyncio.Task[None]) -> None:
        self.storing.discard(task)
        self.lost = self.lost or task.exception()


class Receiver:
    """Serves StreamAccessLogs to any number of Envoys. Made inside the event loop that serves it."""

    def __init__(self, intake: Intake, tally: Tally, log: structlog.stdlib.BoundLogger) -> None:
        self._intake = intake
        self._tally = tally
        self._log = log
        self._stop: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._heard_at = time.monotonic()

    async def stream_access_logs(self, _: object, context: Context) -> bytes:
        """One stream, from its first message to its answer."""
        stream = _Stream(stranger(context.peer()))
        self._tally.streams += 1
        try:
            ended = await self._ended(self._read(stream, context))
            while stream.storing:
                await asyncio.wait(stream.storing)
            await asyncio.sleep(_CANCEL_SECONDS)
        except asyncio.CancelledError:
            self._broken(stream)
            raise
        finally:
            self._tally.streams -= 1
        if stream.lost:
            await context.abort(grpc.StatusCode.UNAVAILABLE, f"not all entries are on disk: {stream.lost}")
        if not ended:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "alslog is stopping")
        return _ANSWER

    async def drain(self, seconds: float) -> None:
        """Read on until the open streams are silent, so many seconds at most; then end them.

        What they brought is handed to the intake by then; `Intake.settle` waits for the disk.
        """
        deadline = time.monotonic() + seconds
        # Silence is no event that one could wait for.
        while self._tally.streams and time.monotonic() < min(  # noqa: ASYNC110
            deadline, self._heard_at + QUIET_SECONDS
        ):
            await asyncio.sleep(_POLL_SECONDS)
        if not self._stop.done():
            self._stop.set_result(None)

    async def _ended(self, reading: Coroutine[None, None, None]) -> bool:
        """Whether the client ended the stream; False when we stop before."""
        reader = asyncio.create_task(reading)
        try:
            await asyncio.wait((reader, self._stop), return_when=asyncio.FIRST_COMPLETED)
            if reader.done():
                reader.result()
            return reader.done()
        finally:
            reader.cancel()

    def _broken(self, stream: _Stream) -> None:
        """What was read of it is stored all the same; what was on its way is gone, and cannot be counted."""
        self._tally.broken += 1
        self._log.warning(
            "a stream broke off",
            node=stream.identity.node,
            log_name=stream.identity.log_name,
            hint="its Envoy went away, or sent a message above alslog.max_message_bytes",
        )

    async def _read(self, stream: _Stream, context: Context) -> None:
        while True:
            await self._intake.room()
            message = await context.read()
            if isinstance(message, bytes):
                self._take(stream, message)
            else:
                return

    def _take(self, stream: _Stream, message: bytes) -> None:
        self._heard_at = time.monotonic()
        stream.identity, arrival = arrival_from(message, stream.identity, time.time_ns())
        if arrival is None:
            return
        if arrival.unparsed:
            self._log.warning(
                "a message is no StreamAccessLogsMessage, it is kept as it came",
                node=stream.identity.node,
                cause=arrival.unparsed,
                bytes=len(message),
            )
        task = self._intake.take(arrival)
        stream.storing.add(task)
        task.add_done_callback(stream.stored)


def make_server(max_message_bytes: int) -> grpc.aio.Server:
    """A server without services or addresses."""
    return grpc.aio.server(
        options=(
            *SERVER_OPTIONS,
            ("grpc.max_receive_message_length", max_message_bytes),
        )
    )


def add_receiver(server: grpc.aio.Server, receiver: Receiver) -> None:
    """Serve the access log service with messages as raw bytes both ways."""
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_unary_rpc_method_handler(
        receiver.stream_access_logs
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),))
