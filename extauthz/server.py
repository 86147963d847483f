"""The gRPC side: Checks as raw bytes, each handed to the checker; what cannot wait is refused at once."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import grpc
import grpc.aio

from access import ReasonCode
from service.grpc_server import SERVER_OPTIONS

if TYPE_CHECKING:
    from extauthz.check import Checker

    Context = grpc.aio.ServicerContext[bytes, bytes]

SERVICE = "envoy.service.auth.v3.Authorization"
METHOD = "Check"
# Envoy takes an unhealthy server out of use within its health check's interval, and asks no more.
QUIET_SECONDS = 0.5


class Gate:
    """Lets so many Checks in at a time, and none whose asker has stopped waiting."""

    def __init__(self, checker: Checker, max_concurrent: int) -> None:
        self._checker = checker
        self._max_concurrent = max_concurrent
        self._inside = 0
        self._asked_at = -QUIET_SECONDS

    async def check(self, message: bytes, context: Context) -> bytes:
        """One Check, answered: never an RPC error, which would leave Envoy without reason and id."""
        self._asked_at = time.monotonic()
        if self._inside >= self._max_concurrent:
            return self._checker.refuse(
                ReasonCode.OVERLOADED, f"more than {self._max_concurrent} Checks at a time"
            )
        self._inside += 1
        try:
            # Others that have arrived are counted before the first is worked on.
            await asyncio.sleep(0)
            if _expired(context.time_remaining()):
                return self._checker.refuse(
                    ReasonCode.DEADLINE_EXCEEDED, "the Check waited past its deadline"
                )
            return self._checker.check(message)
        finally:
            self._inside -= 1

    async def quiet(self, seconds: float) -> None:
        """Return when no Check has come for QUIET_SECONDS, or after so many seconds.

        A server that stops cancels the Checks that it has received but not begun: it stops when
        there are none.
        """
        deadline = time.monotonic() + seconds
        while (now := time.monotonic()) < deadline and now < self._asked_at + QUIET_SECONDS:  # noqa: ASYNC110 - silence is no event
            await asyncio.sleep(min(deadline, self._asked_at + QUIET_SECONDS) - now)


def _expired(remaining: float | None) -> bool:
    """Whether a deadline has passed; None, which grpcio gives without one, never has."""
    return remaining is not None and remaining <= 0


def make_server(gate: Gate) -> grpc.aio.Server:
    """A server that answers Check with messages as raw bytes both ways; no address yet."""
    server = grpc.aio.server(options=SERVER_OPTIONS)
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(gate.check)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),))
    return server
