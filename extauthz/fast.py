"""The transport by extauthz.http2: plain connections of this machine, many times cheaper than grpcio."""

from __future__ import annotations

from typing import TYPE_CHECKING

from extauthz.http2.health import Health
from extauthz.http2.limits import Limits
from extauthz.http2.method import Method
from extauthz.http2.server import Server
from extauthz.names import METHOD, NODE_KEY, SERVICE
from service.addresses import listener

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping, Sequence

    import structlog

    from extauthz.gate import Gate, Told
    from extauthz.settings import ExtAuthzSettings

_NODE = NODE_KEY.encode()
# Messages up to this size reach the gate, which has a reason for refusing them; larger ones never get in.
_ROOM = 4


class FastServer:
    """Health and Check by extauthz.http2."""

    def __init__(self, gate: Gate, settings: ExtAuthzSettings, log: structlog.stdlib.BoundLogger) -> None:
        self._gate = gate
        self._log = log
        self._health = Health((SERVICE,))
        check = Method(gate.answer, self._crowded, settings.max_concurrent, _node)
        limits = Limits(message_bytes=_ROOM * settings.max_request_bytes)
        self.server = Server({f"/{SERVICE}/{METHOD}": check, **self._health.methods()}, limits, self._failed)
        self._sockets: list[socket.socket] = []

    async def listen(self, addresses: Sequence[str]) -> list[str]:
        """Bind them; gives them with their real ports. Raises AddressError."""
        bound = [listener(address) for address in addresses]
        self._sockets = [made for made, _ in bound]
        return [address for _, address in bound]

    async def start(self) -> None:
        for made in self._sockets:
            await self.server.listen(made)

    async def set(self, *, serving: bool) -> None:
        """Health from now on."""
        self._health.set(serving=serving)

    async def stop(self, grace_seconds: float) -> None:
        await self.server.stop(grace_seconds)

    def _crowded(self, _: bytes, node: str) -> Told:
        return self._gate.crowded(node)

    def _failed(self, error: Exception) -> None:
        self._log.error("a call failed", error=f"{type(error).__name__}: {error}")


def _node(metadata: Mapping[bytes, bytes]) -> str:
    """The Envoy that asks."""
    return metadata.get(_NODE, b"").decode("utf-8", "replace")
