"""/metrics, /healthz and /readyz over HTTP, beside a service's own work in the same event loop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import re
import socket
from typing import TYPE_CHECKING

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send


class AddressError(Exception):
    """An address that cannot be listened on; the message says which, why and what to do."""


def bind(address: str) -> socket.socket:
    """A listening TCP socket on "host:port" (port 0: any free one). Raises AddressError."""
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host.strip("[]"), int(port)))
        listener.listen(128)
    except (OSError, ValueError, OverflowError) as error:
        listener.close()
        taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        hint = "another process listens there; choose another port" if taken else "use HOST:PORT"
        raise AddressError(f"cannot listen on {address}: {error}; {hint}") from error
    return listener


class LocalHostOnly:
    """Refuses requests whose Host is a name from somewhere else: how DNS rebinding lets a web page read loopback.

    Such a page can speak of an address only by a name of its own; who names the address itself is no page.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not _names_an_address(Headers(scope=scope).get("host", "")):
            refusal = PlainTextResponse("the Host is neither an IP address nor localhost\n", status_code=403)
            await refusal(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _names_an_address(host: str) -> bool:
    name = re.sub(r":[0-9]*\Z", "", host)
    if name.lower() == "localhost":
        return True
    try:
        ipaddress.ip_address(name[1:-1] if name.startswith("[") and name.endswith("]") else name)
    except ValueError:
        return False
    return True


def application(
    registry: CollectorRegistry,
    ready: Callable[[], tuple[bool, dict[str, object]]],
    *,
    loopback: bool = False,
    refresh: Callable[[], Awaitable[None]] | None = None,
) -> Starlette:
    """The three probes. `ready` tells whether the service can do its work, with details for people.

    `refresh` is awaited before anything is told that may have changed elsewhere.

    On loopback only requests that name the address, or localhost, are answered. On another address the
    scraper may know this machine by any name.
    """

    async def metrics(_: Request) -> Response:
        if refresh is not None:
            await refresh()
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def readyz(_: Request) -> Response:
        if refresh is not None:
            await refresh()
        fine, detail = ready()
        return JSONResponse({"ready": fine, **detail}, status_code=200 if fine else 503)

    return Starlette(
        routes=[Route("/metrics", metrics), Route("/healthz", healthz), Route("/readyz", readyz)],
        middleware=[Middleware(LocalHostOnly)] if loopback else [],
    )


@contextlib.asynccontextmanager
async def serving(
    address: str,
    registry: CollectorRegistry,
    ready: Callable[[], tuple[bool, dict[str, object]]],
    refresh: Callable[[], Awaitable[None]] | None = None,
) -> AsyncIterator[str]:
    """Serve the probes while the block runs; gives their base URL. Raises AddressError."""
    listener = bind(address)
    host, port = listener.getsockname()[:2]
    app = application(registry, ready, loopback=ipaddress.ip_address(host).is_loopback, refresh=refresh)
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", ws="none")
    server = uvicorn.Server(config)
    # The service owns the signals: uvicorn's own handlers would swallow them.
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"http://{f'[{host}]' if ':' in host else host}:{port}"
    finally:
        server.should_exit = True
        await task
        listener.close()
