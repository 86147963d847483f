"""`python -m gateledger.stack.counters`: Envoy's own counters, read from its admin socket into a spool.

The third witness beside extauthz's journal and the log entries: what Envoy says that it answered, logged and
dropped. It holds no ClickHouse credential; the ledger writer stores what it spools (audit.envoy_counters).
A stop is answered with a last reading, so it is stopped when Envoy is drained and before Envoy ends.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
import httpx

from gateledger.settings import EnvoySettings, SettingsError, load
from service import logs
from spool import Appender, SpoolError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import structlog

_MIB = 1024 * 1024
_UNUSABLE = 2
# What is read is small and never urgent; a day of readings waits in some ten megabytes.
_SPOOL_BYTES = 256 * _MIB
_RESERVE_BYTES = 16 * _MIB
_SEGMENT_SECONDS = 1.0
_TIMEOUT_SECONDS = 5.0
# Where Envoy says when it started, to the millisecond, and who it is.
_STARTED = "/config_dump?mask=last_updated,bootstrap.node.id"
_STATS = (
    r"/stats?usedonly&filter=^(http\..*\.(downstream_rq_(total|completed|active)|ext_authz\..*)|access_logs\.grpc_access_log\..*"
    r"|cluster\.alslog\.(upstream_cx_destroy_with_active_rq|upstream_cx_connect_fail|upstream_rq_rx_reset))$"
)
_STAT = re.compile(r"^([^:\n]+): (\d+)$", re.MULTILINE)
# Envoy's own HTTP: its admin interface and its calls to the services.
_OWN = ("http.admin.", "http.async-client.")
# Named in every reading, so that one is there also where nothing has happened yet.
ALWAYS = "access_logs.grpc_access_log.logs_written"
# How long Envoy's answer took, in microseconds: the counters were looked up some time in it (audit/gaps.py).
TOOK = "gateledger.reading_us"


@dataclass(frozen=True, slots=True)
class Reading:
    """One look. Times: `started_at` in ms, `read_at` in ns, since 1970."""

    node: str
    started_at: int
    read_at: int
    values: Mapping[str, int]

    @property
    def record(self) -> tuple[bytes, bytes]:
        """Origin and payload, as the ledger reads them."""
        about = {
            "kind": "counters",
            "node": self.node,
            "received_at": self.read_at,
            "started_at": self.started_at,
        }
        return _json(about), _json(self.values)


class Restarted(Exception):  # noqa: N818 - no error: the next look is at the new one
    """Another Envoy answers than the one that was asked first."""


async def read(client: httpx.AsyncClient) -> Reading:
    """The counters of the Envoy behind the client. Raises httpx.HTTPError, ValueError and Restarted."""
    node, started_at = await _epoch(client)
    asked = time.monotonic_ns()
    answer = await client.get(_STATS)
    took, read_at = time.monotonic_ns() - asked, time.time_ns()
    if answer.status_code != 200:
        raise ValueError(f"Envoy answered {answer.status_code} for its counters")
    if await _epoch(client) != (node, started_at):
        raise Restarted
    return Reading(node, started_at, read_at, {**counters_in(answer.text), TOOK: took // 1000 + 1})


def counters_in(text: str) -> dict[str, int]:
    """The counters that are worth keeping, out of Envoy's /stats. Pure."""
    found = {name: int(value) for name, value in _STAT.findall(text) if not name.startswith(_OWN)}
    return {ALWAYS: 0, **{name: value for name, value in found.items() if value}}


async def _epoch(client: httpx.AsyncClient) -> tuple[str, int]:
    try:
        (dump,) = (await client.get(_STARTED)).json()["configs"]
        started = datetime.fromisoformat(dump["last_updated"])
        return dump["bootstrap"]["node"]["id"], round(started.timestamp() * 1000)
    except (KeyError, TypeError) as error:
        raise ValueError(f"Envoy's /config_dump is not what it was: {error!r}") from error


class Reader:
    """Looks at one Envoy again and again."""

    def __init__(self, admin: Path, envoy: EnvoySettings, log: structlog.stdlib.BoundLogger) -> None:
        if envoy.counters is None:
            raise SettingsError("envoy.counters is not set; gateledger.settings.load does")
        self._spool = envoy.counters
        self._seconds = envoy.counters_seconds
        self._log = log
        self._trouble = ""
        self._appender: Appender | None = None
        transport = httpx.AsyncHTTPTransport(uds=str(admin))
        self._client = httpx.AsyncClient(
            transport=transport, base_url="http://envoy-admin", timeout=_TIMEOUT_SECONDS
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Read every so many seconds, and once more at the stop."""
        try:
            while not stop.is_set():
                await self._look()
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), self._pause())
            await self._look()
        finally:
            await self._client.aclose()
            self._close()

    def _pause(self) -> float:
        # An Envoy that is away may be back in a moment.
        return min(self._seconds, 1.0) if self._trouble else self._seconds

    async def _look(self) -> None:
        try:
            reading = await read(self._client)
            await asyncio.wrap_future(self._opened().append(*reading.record))
        except Restarted:
            return
        except (httpx.HTTPError, ValueError, SpoolError) as error:
            self._say(f"{type(error).__name__}: {error}")
        else:
            self._say("")

    def _opened(self) -> Appender:
        if self._appender is not None and self._appender.failure is not None:
            self._close()
        if self._appender is None:
            self._appender = Appender(
                self._spool,
                segment_bytes=_MIB,
                segment_seconds=_SEGMENT_SECONDS,
                max_bytes=_SPOOL_BYTES,
                reserve_bytes=_RESERVE_BYTES,
            )
        return self._appender

    def _close(self) -> None:
        if self._appender is not None:
            self._appender.close()
            self._appender = None

    def _say(self, trouble: str) -> None:
        """Log a change of state, not each look."""
        if bool(trouble) != bool(self._trouble):
            if trouble:
                self._log.warning("Envoy's counters cannot be read", error=trouble)
            else:
                self._log.info("Envoy's counters are read again")
        self._trouble = trouble


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", type=click.Path(path_type=Path), help="Settings file. Default: gateledger.yaml.")
@click.option("--home", type=click.Path(path_type=Path), help="Where state lives. Default: .gateledger/.")
@click.option(
    "--admin",
    type=click.Path(path_type=Path),
    help="Envoy's admin socket. Default: HOME/run/envoy-admin.sock.",
)
def main(config: Path | None, home: Path | None, admin: Path | None) -> None:
    """Read Envoy's counters into a spool, for `gateledger audit gaps`."""
    try:
        settings = load(config, {"home": home} if home else {})
        log = logs.configure("counters", settings.log.level)
        # It tells of each request, at the same level as we of what matters.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        asyncio.run(_run(Reader(admin or settings.home / "run" / "envoy-admin.sock", settings.envoy, log)))
    except SettingsError as error:
        click.echo(f"counters: {error}", err=True)
        sys.exit(_UNUSABLE)


async def _run(reader: Reader) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await reader.run(stop)


if __name__ == "__main__":
    main()
