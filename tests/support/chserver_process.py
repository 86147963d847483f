"""The embedded ClickHouse for tests: the real process on a free port, for as long as a block runs."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import clickhouse_connect
from ports import free_port

if TYPE_CHECKING:
    from types import TracebackType

    from clickhouse_connect.driver.client import Client

ROOT = Path(__file__).resolve().parents[2]
WRITER, READER = "gateledger", "auditor"
START_SECONDS = 60


class ChServerProcess:
    """`python -m chserver` on HOME/clickhouse; stopped by SIGTERM when the block ends.

    `settings` are further keys of the section `chserver`. May be entered again after it ended:
    the same data, port and password.
    """

    def __init__(self, home: Path, *, port: int | None = None, **settings: Any) -> None:
        self.home = home
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = home / "chserver.log"
        self.password_file = home / "secrets" / "clickhouse-writer"
        self.config = home / "chserver.json"
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, "the process has not been started"
        return self._process.pid

    @property
    def password(self) -> str:
        return self.password_file.read_text(encoding="utf-8")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Write the settings, start the process and wait until it answers."""
        self.password_file.parent.mkdir(parents=True, exist_ok=True)
        if not self.password_file.exists():
            self.password_file.write_text(secrets.token_hex(16), encoding="utf-8")
        section = {"listen": f"127.0.0.1:{self.port}", **self._settings}
        self.config.write_text(json.dumps({"chserver": section, "log": {"level": "debug"}}), encoding="utf-8")
        command = [sys.executable, "-m", "chserver", "--config", self.config, "--home", self.home]
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("GATELEDGER_")
        }
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                code = self.stop()
                raise AssertionError(f"chserver did not start (exit code {code}): {self.log.read_text()}")
            time.sleep(0.05)

    def answers(self) -> bool:
        """Whether /ping is answered."""
        with (
            contextlib.suppress(urllib.error.URLError, OSError),
            urllib.request.urlopen(f"{self.url}/ping", timeout=5) as answer,
        ):
            return bool(answer.status == 200)
        return False

    def stop(self, deadline_seconds: float = 30) -> int | None:
        """SIGTERM, and the exit code; killed after the deadline."""
        if self._process is None:
            return None
        self._process.terminate()
        try:
            return self._process.wait(deadline_seconds)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        """SIGKILL, as a crash."""
        assert self._process is not None, "the process has not been started"
        self._process.kill()
        return self._process.wait()

    def writer_client(self, **options: Any) -> Client:
        """A client of clickhouse-connect that may do everything."""
        return self._client(WRITER, self.password, options)

    def reader_client(self, **options: Any) -> Client:
        """A client of clickhouse-connect as the auditor."""
        return self._client(READER, "", options)

    def _client(self, user: str, password: str, options: dict[str, Any]) -> Client:
        return clickhouse_connect.get_client(
            **{
                "host": "127.0.0.1",
                "port": self.port,
                "username": user,
                "password": password,
                "autogenerate_session_id": False,
                **options,
            }
        )
