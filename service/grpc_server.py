"""What every gRPC service shares: a safe bind, health (grpc.health.v1) and reflection.

grpcio by itself removes any unix socket that is in its way, a living one included, and shares a
TCP port between processes without a word. Here an address that is taken is an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from service.addresses import SOCKET_UMASK, UNIX, prepare_unix, umask
from service.probes import AddressError
from service.server_tls import credentials

if TYPE_CHECKING:
    from collections.abc import Sequence

    import grpc.aio

    from service.server_tls import ServerTls

# A second process must not share the port; peers may ping idle connections as often as they like,
# because Envoy keeps its streams open for days.
SERVER_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
    ("grpc.http2.max_ping_strikes", 0),
)


def bind(server: grpc.aio.Server, address: str, tls: ServerTls | None = None) -> str:
    """Bind the server to unix:PATH (the file is 0600) or HOST:PORT; the address with its real port.

    `tls` is for HOST:PORT only. Raises AddressError.
    """
    prepare_unix(address)
    try:
        with umask(SOCKET_UMASK):
            if tls and not address.startswith(UNIX):
                port = server.add_secure_port(address, credentials(tls))
            else:
                port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise AddressError(
            f"cannot listen on {address}: {error}; is it taken, or not an address of this machine?"
        ) from error
    return address if address.startswith(UNIX) else f"{address.rpartition(':')[0]}:{port}"


class Health:
    """What the service answers to health checks, for all its names at once."""

    def __init__(self, servicer: health.aio.HealthServicer, names: Sequence[str]) -> None:
        self._servicer = servicer
        self._names = tuple(names)

    async def set(self, *, serving: bool) -> None:
        """Answer SERVING or NOT_SERVING from now on; watchers are told."""
        status = (
            health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        )
        for name in self._names:
            await self._servicer.set(name, status)


async def add_health(server: grpc.aio.Server, names: Sequence[str]) -> Health:
    """Add health (NOT_SERVING until `set`) under "" and `names`, and reflection. Before server.start()."""
    servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    reflection.enable_server_reflection((*names, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    shown = Health(servicer, ("", *names))
    await shown.set(serving=False)
    return shown
