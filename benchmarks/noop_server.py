"""A server of Checks that does nothing: `noop_server.py fast|grpcio SOCKET` gives every Check the same answer."""

from __future__ import annotations

import asyncio
import sys

import grpc.aio
import uvloop

from extauthz.fast import METHOD, SERVICE
from extauthz.http2.method import Method
from extauthz.http2.server import Server
from service.addresses import listener

ANSWER = b"\x0a\x00\x1a\x00" + bytes(1_000)


async def _fast(address: str) -> None:
    server = Server({f"/{SERVICE}/{METHOD}": Method(lambda *_: ANSWER)})
    await server.listen(listener(address)[0])


async def _grpcio(address: str) -> None:
    async def check(*_: object) -> bytes:
        return ANSWER

    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(check)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),))
    server.add_insecure_port(address)
    await server.start()
    globals()["kept"] = server


async def _serve(transport: str, address: str) -> None:
    await (_fast if transport == "fast" else _grpcio)(address)
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve(*sys.argv[1:]))
