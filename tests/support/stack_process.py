"""A whole stack for tests: `gateledger up --demo` as its users start it, on free ports."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

import clickhouse_connect
from ports import free_port

from extauthz.settings import ExtAuthzSettings
from gateledger.demo.issuer import DemoIssuer

Found = TypeVar("Found")
GATELEDGER = Path(sys.executable).with_name("gateledger")
PATIENCE_SECONDS = 60.0
# What carries Checks in stacks of tests that do not say; without it, what stacks have by default (make e2e).
TRANSPORT = os.environ.get("TEST_TRANSPORT")
# For stacks in which the transport could make a difference, and without a choice from outside: the other one than
# most stacks have.
OTHER_TRANSPORT = TRANSPORT or ("grpcio" if ExtAuthzSettings().transport == "fast" else "fast")
CHOSEN = {"GATELEDGER_EXTAUTHZ__TRANSPORT": TRANSPORT} if TRANSPORT else {}
LISTENERS = ("ENVOY__LISTEN", "CHSERVER__LISTEN", "EXTAUTHZ__METRICS", "ALSLOG__METRICS", "DEMO__UPSTREAM")


def eventually(look: Callable[[], Found | None], what: str, seconds: float = PATIENCE_SECONDS) -> Found:
    """What `look` gives as soon as it is true; fails with `what` when it never is."""
    began = time.monotonic()
    while not (found := look()):
        waited = time.monotonic() - began
        assert waited < seconds, f"not within {seconds:g} s: {what}"
        # Whoever waits long looks less often: it takes processors from those that it waits for.
        time.sleep(min(0.1, 0.01 + waited / 10))
    return found


@dataclass(frozen=True)
class Answer:
    """What a client saw."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class StackProcess:
    """`gateledger up --demo` in a home of its own."""

    home: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    arguments: Sequence[str] = ("--demo",)
    process: subprocess.Popen[bytes] | None = None
    _said_before: int = 0
    _reader: Any = None

    def environment(self) -> dict[str, str]:
        outside = {name: value for name, value in os.environ.items() if not name.startswith("GATELEDGER_")}
        anywhere = {f"GATELEDGER_{name}": f"127.0.0.1:{free_port()}" for name in LISTENERS}
        return {**outside, **anywhere, **CHOSEN, **self.settings}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / "up.log").open("ab") as log:
            self._said_before = log.tell()
            self.process = subprocess.Popen(
                [GATELEDGER, "up", "--home", self.home, *self.arguments],
                cwd=self.home,
                env=self.environment(),
                stdout=log,
                stderr=log,
            )
        eventually(self._is_ready, "gateledger is ready", 90)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal and wait; gives the exit code."""
        if self._reader:
            self._reader.close()
            self._reader = None
        if self.process is None:
            return 0
        self.process.send_signal(number)
        code = self.process.wait(timeout=PATIENCE_SECONDS)
        self.process = None
        return code

    def _is_ready(self) -> bool:
        assert self.process
        assert self.process.poll() is None, self.said()
        return "gateledger is ready" in self.said()

    def said(self) -> str:
        """What this run printed."""
        return (self.home / "up.log").read_bytes()[self._said_before :].decode()

    @property
    def ready(self) -> dict[str, Any]:
        return json.loads((self.home / "run" / "ready.json").read_text())

    @property
    def proxy(self) -> str:
        return self.ready["proxy"].removeprefix("http://")

    def pid(self, name: str) -> int | None:
        """The pid of a process; None while it is being restarted."""
        pid = self.ready["pids"][name]
        return (pid[0] if pid else None) if isinstance(pid, list) else pid

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A gateledger command on this stack's home, with the addresses that the stack has."""
        environment = {**self.environment(), "GATELEDGER_HOME": str(self.home)}
        if self.process:
            environment["GATELEDGER_CLICKHOUSE__URL"] = self.ready["clickhouse"]
        return subprocess.run(
            [GATELEDGER, *arguments],
            cwd=self.home,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def token(self, subject: str, *roles: str, ttl: float = 600) -> str:
        return DemoIssuer(self.home / "demo").token(subject, roles, time.time(), ttl)

    def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        token: str = "",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """One request through the proxy, on a connection of its own; the path goes out as it is."""
        bearer = {"authorization": f"Bearer {token}"} if token else {}
        connection = http.client.HTTPConnection(self.proxy, timeout=30)
        try:
            connection.request(method, path, body=body, headers={**bearer, **(headers or {})})
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read())
        finally:
            connection.close()

    @contextlib.contextmanager
    def reader(self) -> Iterator[Any]:
        """clickhouse-connect's client as the user auditor. Made once: it asks a good deal before it serves."""
        if self._reader is None:
            self._reader = clickhouse_connect.get_client(
                dsn=self.ready["clickhouse"], username="auditor", autogenerate_session_id=False
            )
        yield self._reader

    def rows(self, where: str = "1", **parameters: object) -> list[dict[str, Any]]:
        with self.reader() as client:
            sql = f"SELECT * FROM audit.access_log WHERE {where} ORDER BY time"
            return list(client.query(sql, parameters=parameters).named_results())

    def row(self, request_id: str) -> dict[str, Any]:
        """The one row of a request, as soon as it is there."""
        rows = eventually(
            lambda: self.rows("request_id = {id:String}", id=request_id), f"a row of request {request_id}"
        )
        assert len(rows) == 1, rows
        return rows[0]

    def rows_of(self, user_agent: str) -> list[dict[str, Any]]:
        """The rows of requests whose user agent begins so, as soon as there is one."""
        where = "startsWith(user_agent_original, {user_agent:String})"
        return eventually(lambda: self.rows(where, user_agent=user_agent), f"a row of {user_agent}")
