"""Which server serves which address, and all of them as one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from extauthz.fast import FastServer
from extauthz.server import GrpcioServer
from service.addresses import UNIX, of_this_machine

if TYPE_CHECKING:
    from collections.abc import Sequence

    import structlog

    from extauthz.gate import Gate
    from extauthz.settings import ExtAuthzSettings


class Transport(Protocol):
    """A server of Checks."""

    async def listen(self, addresses: Sequence[str]) -> list[str]: ...
    async def start(self) -> None: ...
    async def set(self, *, serving: bool) -> None: ...
    async def stop(self, grace_seconds: float) -> None: ...


class Transports:
    """The servers that the settings ask for: TLS, and plain text that may leave this machine, are grpcio's."""

    def __init__(self, gate: Gate, settings: ExtAuthzSettings, log: structlog.stdlib.BoundLogger) -> None:
        fast = [
            address
            for address in settings.listen
            if settings.transport == "fast" and _is_plain(address, settings) and of_this_machine(address)
        ]
        others = [address for address in settings.listen if address not in fast]
        self._servers: list[tuple[Transport, Sequence[str]]] = []
        if fast:
            self._servers.append((FastServer(gate, settings, log), fast))
        if others:
            self._servers.append((GrpcioServer(gate, settings.tls), others))

    async def listen(self) -> list[str]:
        """Bind all addresses; gives them with their real ports. Raises AddressError."""
        return [bound for server, addresses in self._servers for bound in await server.listen(addresses)]

    async def start(self) -> None:
        """Answer from now on, and say so."""
        for server, _ in self._servers:
            await server.start()
        await self.set(serving=True)

    async def set(self, *, serving: bool) -> None:
        for server, _ in self._servers:
            await server.set(serving=serving)

    async def stop(self, grace_seconds: float) -> None:
        for server, _ in self._servers:
            await server.stop(grace_seconds)


def _is_plain(address: str, settings: ExtAuthzSettings) -> bool:
    return settings.tls is None or address.startswith(UNIX)
