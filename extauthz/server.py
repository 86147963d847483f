"""The gRPC side: Checks as raw bytes, each handed to the checker; what cannot wait is refused at once."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import grpc
import grpc.aio

from access import ReasonCode
from service.grpc_server import SERVER_OPTIONS
from spool import SpoolError

if TYPE_CHECKING:
    from extauthz.check import Checked, Checker
    from extauthz.decisions import DecisionJournal

    Context = grpc.aio.ServicerContext[bytes, bytes]

SERVICE = "envoy.service.auth.v3.Authorization"
METHOD = "Check"
NODE_KEY = "x-gateledger-node"
# Envoy takes an unhealthy server out of use within its health check's interval, and asks no more.
QUIET_SECONDS = 0.5


class Gate:
    """Lets so many Checks in at a time, none whose asker has stopped waiting, and tells no decision that the
    journal did not get; with `audit_required` none that it does not hold durably.
    """

    def __init__(self, checker: Checker, max_concurrent: int, journal: DecisionJournal) -> None:
        self._checker = checker
        self._journal = journal
        self._max_concurrent = max_concurrent
        self._inside = 0
        self._asked_at = -QUIET_SECONDS

    async def check(self, message: bytes, context: Context) -> bytes:
        """One Check, answered: never an RPC error, which would leave Envoy without reason and id."""
        self._asked_at = time.monotonic()
        if self._inside >= self._max_concurrent:
            crowded = f"more than {self._max_concurrent} Checks at a time"
            return await self._told(self._checker.refused(ReasonCode.OVERLOADED, crowded), context)
        self._inside += 1
        try:
            # Others that have arrived are counted before the first is worked on.
            await asyncio.sleep(0)
            if _expired(context.time_remaining()):
                late = "the Check waited past its deadline"
                checked = self._checker.refused(ReasonCode.DEADLINE_EXCEEDED, late, message)
            else:
                checked = self._checker.checked(message)
            return await self._told(checked, context)
        finally:
            self._inside -= 1

    async def _told(self, checked: Checked, context: Context) -> bytes:
        """The answer, once the journal has it as the settings ask for."""
        # Without an entry it is the last resort: a denial that says nothing of the request.
        if checked.entry:
            node = _node(context)
            if not self._journal.required:
                self._journal.add(node, checked.entry)
            else:
                try:
                    await self._journal.durable(node, checked.entry)
                except SpoolError:
                    unkept = "the decision could not be written to the journal"
                    checked = self._checker.refused(ReasonCode.AUDIT_UNAVAILABLE, unkept)
        return self._checker.told(checked)

    async def quiet(self, seconds: float) -> None:
        """Return when no Check has come for QUIET_SECONDS, or after so many seconds.

        A server that stops cancels the Checks that it has received but not begun: it stops when
        there are none.
        """
        deadline = time.monotonic() + seconds
        while (now := time.monotonic()) < deadline and now < self._asked_at + QUIET_SECONDS:  # noqa: ASYNC110 - silence is no event
            await asyncio.sleep(min(deadline, self._asked_at + QUIET_SECONDS) - now)


def _node(context: Context) -> str:
    """The Envoy that asks, by the metadata that its bootstrap adds to each Check; empty where it adds none."""
    for key, value in context.invocation_metadata() or ():
        if key == NODE_KEY:
            return value if isinstance(value, str) else value.decode("utf-8", "replace")
    return ""


def _expired(remaining: float | None) -> bool:
    """Whether a deadline has passed; None, which grpcio gives without one, never has."""
    return remaining is not None and remaining <= 0


def make_server(gate: Gate) -> grpc.aio.Server:
    """A server that answers Check with messages as raw bytes both ways; no address yet."""
    server = grpc.aio.server(options=SERVER_OPTIONS)
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(gate.check)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),))
    return server
