"""What every gRPC service shares: a safe bind, health (grpc.health.v1) and reflection.

grpcio by itself removes any unix socket that is in its way, a living one included, and shares a
TCP port between processes without a word. Here an address that is taken is an error.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from service.probes import AddressError
from service.server_tls import credentials

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import grpc.aio

    from service.server_tls import ServerTls

UNIX = "unix:"
# sockaddr_un.sun_path of Linux, without its closing NUL.
UNIX_PATH_BYTES = 107
# Rights that a new socket file must not have: it ends up 0600.
_SOCKET_UMASK = 0o177

# A second process must not share the port; peers may ping idle connections as often as they like,
# because Envoy keeps its streams open for days.
SERVER_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
    ("grpc.http2.max_ping_strikes", 0),
)


def check_address(address: str) -> None:
    """Refuse what is neither unix:PATH nor HOST:PORT. Touches nothing. Raises AddressError."""
    if address.startswith(UNIX):
        path = address.removeprefix(UNIX)
        if not path.startswith("/"):
            raise AddressError(f"cannot listen on {address}: the path is not absolute; use unix:/PATH")
        if len(os.fsencode(path)) > UNIX_PATH_BYTES:
            raise AddressError(
                f"cannot listen on {address}: the path is longer than {UNIX_PATH_BYTES} bytes, "
                "Linux's limit for sockets; choose a shorter home"
            )
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise AddressError(f"cannot listen on {address!r}: use unix:/PATH or HOST:PORT")


def prepare_unix(address: str) -> None:
    """Make way for a socket at unix:PATH: its directory (0700) is there, a dead process's file is gone.

    Does nothing for HOST:PORT. Raises AddressError when a living process listens there, when
    something else than a socket is in the way, or when the directory cannot be written.
    """
    check_address(address)
    if not address.startswith(UNIX):
        return
    path = Path(address.removeprefix(UNIX))
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.path.lexists(path):
            return
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise AddressError(f"cannot listen on {address}: the file is no socket; move it away")
        if _alive(path):
            raise AddressError(
                f"cannot listen on {address}: another process listens there; stop it or choose another path"
            )
        path.unlink(missing_ok=True)
    except OSError as error:
        raise AddressError(f"cannot listen on {address}: {error}") from error


def bind(server: grpc.aio.Server, address: str, tls: ServerTls | None = None) -> str:
    """Bind the server to unix:PATH (the file is 0600) or HOST:PORT; the address with its real port.

    `tls` is for HOST:PORT only. Raises AddressError.
    """
    prepare_unix(address)
    try:
        with _umask(_SOCKET_UMASK):
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


def _alive(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(os.fspath(path))
        except TimeoutError:
            # A listener with a full backlog is busy, not dead.
            return True
        except OSError as error:
            if error.errno in {errno.ECONNREFUSED, errno.ENOENT}:
                return False
            raise
    return True


@contextlib.contextmanager
def _umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)
