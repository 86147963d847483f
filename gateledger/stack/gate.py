"""Envoy's admin interface, as far as the stack needs it: is the gate open, and how to close it safely."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from pathlib import Path

_STAT = re.compile(r"^([^:\n]+): (\d+)$", re.MULTILINE)
_SERVICES = ("extauthz", "alslog")
# What a stop waits for a flush at the least: two flush intervals may be shorter than the time that a thread of
# Envoy waits for a processor, between a request's end and its log entry, or between a flush and the socket.
_FLUSH_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Gate:
    """The running Envoy behind an admin socket."""

    admin_socket: Path

    async def is_open(self) -> bool:
        """Whether Envoy is live and sees both services healthy: a request can pass."""
        try:
            async with self._client() as client:
                live = (await client.get("/ready")).status_code == 200
                stats = await self._stats(client, r"^cluster\.(extauthz|alslog)\.membership_healthy$")
        except httpx.HTTPError:
            return False
        return live and all(stats.get(f"cluster.{name}.membership_healthy", 0) > 0 for name in _SERVICES)

    async def drain(self, requests_seconds: float, flush_seconds: float) -> str | None:
        """Close the gate without losing a record; gives what could not be waited for, if anything.

        The order is Envoy's own advice: refuse new connections, let requests in flight end,
        then leave the access log buffer two flush intervals (0.5 s at the least), since SIGTERM discards it.
        """
        try:
            async with self._client() as client:
                await client.post("/healthcheck/fail")
                await client.post("/drain_listeners")
                idle = await self._wait(self._is_idle, client, requests_seconds)
                await asyncio.sleep(max(2 * flush_seconds, _FLUSH_SECONDS))
                flushed = await self._wait(self._is_flushed, client, 5)
        except httpx.HTTPError as error:
            return f"Envoy did not answer while it was drained ({error}); its last records may be lost"
        if not flushed:
            return "Envoy still held log entries when it was stopped; `gateledger audit` may miss them"
        return None if idle else "requests were still in flight when Envoy was stopped"

    async def _wait(self, condition: _Condition, client: httpx.AsyncClient, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not await condition(client):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.05)
        return True

    async def _is_idle(self, client: httpx.AsyncClient) -> bool:
        stats = await self._stats(client, r"^http\.gate\.downstream_rq_active$")
        return all(value == 0 for value in stats.values())

    async def _is_flushed(self, client: httpx.AsyncClient) -> bool:
        stats = await self._stats(client, r"^access_logs\.grpc_access_log\.")
        prefix = "access_logs.grpc_access_log"
        return stats.get(f"{prefix}.logs_written", 0) <= stats.get(f"{prefix}.grpc_entries_flushed", 0)

    async def _stats(self, client: httpx.AsyncClient, pattern: str) -> dict[str, int]:
        answer = await client.get("/stats", params={"filter": pattern})
        return {name: int(value) for name, value in _STAT.findall(answer.text)}

    def _client(self) -> httpx.AsyncClient:
        transport = httpx.AsyncHTTPTransport(uds=str(self.admin_socket))
        return httpx.AsyncClient(transport=transport, base_url="http://envoy-admin", timeout=5)


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    _Condition = Callable[[httpx.AsyncClient], Awaitable[bool]]
