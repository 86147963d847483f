"""The stack as one thing: prepare HOME, start in order, keep running, stop in Envoy's safe order."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateledger.demo.issuer import DemoIssuer
from gateledger.files import write_private
from gateledger.settings import dump, spools_of
from gateledger.stack.gate import Gate
from gateledger.stack.gate_file import write_bootstrap
from gateledger.stack.process import StartError, Supervised
from gateledger.stack.programs import ledger_status, phases, refused_policy
from spool import sealed_segments, usage

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateledger.services.model import Services
    from gateledger.settings import Settings
    from gateledger.stack.home import Home

START_SECONDS = 60.0
# How long a stop waits for the writer to store what the spool still holds. What is left after
# that stays in the spool and is stored at the next start.
STORE_SECONDS = 15.0
# How long a start waits to see whether a ClickHouse server of one's own answers.
FIRST_CONTACT_SECONDS = 3.0


@dataclass(slots=True)
class Stack:
    """All processes of one home. `report` gets sentences for people."""

    settings: Settings
    home: Home
    report: Callable[[str], None]
    demo: bool
    services: Services | None = None
    _running: dict[str, Supervised] = field(default_factory=dict)
    _complete: bool = False
    _hurry: bool = False

    async def start(self) -> None:
        """Start everything and return once a request can pass. Raises StartError or BootstrapError."""
        self._prepare()
        if why := await refused_policy(self.home):
            raise StartError(why)
        deadline = time.monotonic() + START_SECONDS
        for phase in phases(self.settings, self.home, demo=self.demo):
            for program in phase:
                log = self.home.log / f"{program.name}.log"
                self._running[program.name] = Supervised(
                    program, log, self.home.root, self.report, self._write_ready
                )
                self._running[program.name].start()
            await asyncio.gather(*(self._running[program.name].wait_up(deadline) for program in phase))
        self._complete = True
        self._write_ready()
        if not self.settings.embedded:
            await self._tell_of_the_store()

    async def _tell_of_the_store(self) -> None:
        """A server of one's own may be away; records wait, but whoever starts the stack should know."""
        deadline = time.monotonic() + FIRST_CONTACT_SECONDS
        while self._ledger_status().get("clickhouse") != "up":
            if time.monotonic() > deadline:
                error = self._ledger_status().get("last_error") or "no answer yet"
                self.report(f"{self.settings.clickhouse.url}: records wait in the spool: {error}")
                return
            await asyncio.sleep(0.05)

    async def stop(self, *, hurry: bool = False) -> None:
        """Stop everything: the gate first and drained, the store last. Leaves no process."""
        self._complete = False
        self._hurry = self._hurry or hurry
        if "envoy" in self._running and not self._hurry:
            problem = await self._gate().drain(
                self.settings.envoy.drain_seconds, self.settings.envoy.flush_seconds
            )
            if problem:
                self.report(problem)
        # The counters are read a last time while there still is an Envoy.
        for name in ("counters", "envoy", "upstream", "extauthz", "alslog"):
            await self._stop(name)
        if "ledger" in self._running and not self._hurry:
            await self._wait_stored()
        for name in ("ledger", "chserver"):
            await self._stop(name)

    def kill(self) -> None:
        """End every process at once. What alslog accepted is on disk and stored at the next start."""
        self._hurry = True
        for supervised in self._running.values():
            supervised.kill()

    def processes(self) -> dict[str, int | None]:
        """The pid of each program; None while it is being restarted."""
        return {name: supervised.pid for name, supervised in self._running.items()}

    async def _stop(self, name: str) -> None:
        if name in self._running:
            await self._running[name].stop(hurry=self._hurry)

    async def _wait_stored(self) -> None:
        """Wait for the writer, which takes what is sealed. What a killed process left open, its next start seals."""
        deadline = time.monotonic() + STORE_SECONDS
        spools = spools_of(self.settings).values()
        while any(sealed_segments(spool) for spool in spools):
            can_store = self._running["ledger"].pid and self._ledger_status().get("clickhouse") == "up"
            if self._hurry or not can_store or time.monotonic() > deadline:
                break
            await asyncio.sleep(0.05)
        if waiting := sum(usage(spool).bytes for spool in spools):
            self.report(f"{waiting} bytes of records wait in the spool; they are stored at the next start")

    def _ledger_status(self) -> dict[str, object]:
        return ledger_status(self.settings.ledger.status)

    def _gate(self) -> Gate:
        return Gate(self.home.admin_socket)

    def _prepare(self) -> None:
        settings = self.settings
        password = settings.clickhouse.writer_password_file
        if settings.embedded and password:
            self.home.ensure_secret(password)
        elif password and not os.access(password, os.R_OK):
            raise StartError(
                f"{password}: the writer's password for {settings.clickhouse.url} cannot be read; "
                "name its file in the setting clickhouse.writer_password_file"
            )
        if self.demo:
            self._issuer().ensure()
        write_private(self.home.settings_file, dump(settings).encode())
        jwks = self._issuer().jwks_file if self.demo else None
        write_bootstrap(settings, self.home, self.services, jwks)
        if settings.ledger.status and (status := self._ledger_status()):
            # What an earlier run saw of ClickHouse must not be taken for what this one sees.
            self.home.write_json(settings.ledger.status, {**status, "clickhouse": "down"})

    def _issuer(self) -> DemoIssuer:
        return DemoIssuer(self.home.root / "demo")

    @property
    def listeners(self) -> list[str]:
        """Where the gate listens, as URLs; the first is the proxy."""
        if self.services is None:
            return [f"http://{self.settings.envoy.listen}"]
        return [f"{'https' if one.tls else 'http'}://{one.address}" for one in self.services.listeners]

    def _write_ready(self) -> None:
        if not self._complete:
            return
        settings, pids = self.settings, self.processes()
        lists = {"extauthz", "alslog"}
        self.home.write_json(
            self.home.ready_file,
            {
                "proxy": self.listeners[0],
                "listeners": self.listeners,
                "clickhouse": settings.clickhouse.url,
                "extauthz": list(settings.extauthz.addresses),
                "alslog": settings.alslog.listen,
                "envoy_admin": f"unix:{self.home.admin_socket}",
                "metrics": {
                    "extauthz": f"http://{settings.extauthz.metrics}",
                    "alslog": f"http://{settings.alslog.metrics}",
                },
                "pids": {
                    name: ([pid] if pid else []) if name in lists else pid for name, pid in pids.items()
                },
                "started_at": {name: one.started_at for name, one in self._running.items()},
                "restarts": {name: one.restarts for name, one in self._running.items()},
                "demo": self.demo,
            },
        )
