"""The transport by grpcio: any address, with reflection. Checks as raw bytes, each handed to the gate."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import grpc
import grpc.aio

from extauthz.names import METHOD, NODE_KEY, SERVICE
from service.grpc_server import SERVER_OPTIONS, Health, add_health, bind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from extauthz.gate import Gate
    from service.server_tls import ServerTls

    Context = grpc.aio.ServicerContext[bytes, bytes]


class Handler:
    """Lets so many Checks in at a time, and tells the gate who asks and how long they wait."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._inside = 0

    async def check(self, message: bytes, context: Context) -> bytes:
        """One Check, answered."""
        if self._inside >= self._gate.max_concurrent:
            return await _awaited(self._gate.crowded(_node(context)))
        self._inside += 1
        try:
            # Others that have arrived are counted before the first is worked on.
            await asyncio.sleep(0)
            deadline = _deadline(context.time_remaining())
            return await _awaited(self._gate.answer(message, _node(context), deadline))
        finally:
            self._inside -= 1


async def _awaited(told: bytes | asyncio.Future[bytes]) -> bytes:
    return told if isinstance(told, bytes) else await told


def _deadline(remaining: float | None) -> float | None:
    """In time.monotonic's seconds; grpcio gives None without one."""
    return None if remaining is None else time.monotonic() + remaining


def _node(context: Context) -> str:
    """The Envoy that asks, by the metadata that its bootstrap adds to each Check; empty where it adds none."""
    for key, value in context.invocation_metadata() or ():
        if key == NODE_KEY:
            return value if isinstance(value, str) else value.decode("utf-8", "replace")
    return ""


class GrpcioServer:
    """Health, reflection and Check by grpcio."""

    def __init__(self, gate: Gate, tls: ServerTls | None = None) -> None:
        self._tls = tls
        self._server = grpc.aio.server(options=SERVER_OPTIONS)
        handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(
            Handler(gate).check
        )
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),)
        )
        self._health: Health | None = None

    async def listen(self, addresses: Sequence[str]) -> list[str]:
        """Bind them; gives them with their real ports. Raises AddressError."""
        self._health = await add_health(self._server, (SERVICE,))
        return [bind(self._server, address, self._tls) for address in addresses]

    async def start(self) -> None:
        await self._server.start()

    async def set(self, *, serving: bool) -> None:
        """Health from now on."""
        if self._health is not None:
            await self._health.set(serving=serving)

    async def stop(self, grace_seconds: float) -> None:
        await self._server.stop(grace_seconds)
