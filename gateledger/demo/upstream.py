"""The sample upstream: orders, billing and admin in one small process.

It answers every request with what it got, so that one sees whom the gate let in as whom.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from service.probes import AddressError, bind

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

ORDERS = {"1": {"item": "lamp", "total": "49.00 EUR"}, "2": {"item": "desk", "total": "320.00 EUR"}}
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


async def answer(request: Request) -> Response:
    """Echo what matters of a request; an order is shown where the path names one."""
    path = request.url.path
    service, _, rest = path.strip("/").partition("/")
    body: dict[str, object] = {
        "service": service.partition(".")[0],
        "method": request.method,
        "path": path,
        "you_are": request.headers.get("x-subject", ""),
        "your_roles": request.headers.get("x-roles", ""),
        "decision_id": request.headers.get("x-decision-id", ""),
    }
    if service == "orders" and rest in ORDERS:
        body["order"] = ORDERS[rest]
    return JSONResponse(body, status_code=201 if request.method == "POST" and service == "orders" else 200)


application = Starlette(routes=[Route("/{path:path}", answer, methods=METHODS)])


def main(address: str) -> int:
    """Serve on HOST:PORT until SIGTERM. Exit code 2 when the address cannot be used."""
    try:
        listener = bind(address)
    except AddressError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    config = uvicorn.Config(application, log_level="warning", access_log=False, lifespan="off", ws="none")
    uvicorn.Server(config).run(sockets=[listener])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
