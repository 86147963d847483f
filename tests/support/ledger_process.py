"""The ledger writer for tests: the real process on a home of its own, and ways to fill its spool."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from spool import Appender

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_SECONDS = 60


def wait_until(condition: Callable[[], bool], what: str, seconds: float = DEADLINE_SECONDS) -> None:
    """Come back when the condition holds; fail at the deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"still waiting for: {what}"
        time.sleep(0.02)


def origin(kind: str = "http", received_at: int | None = None, **more: Any) -> bytes:
    """A record's origin as alslog writes it; now, of the node `node-1`, unless said otherwise."""
    about = {
        "kind": kind,
        "log_name": "edge",
        "node": "node-1",
        "received_at": time.time_ns() if received_at is None else received_at,
        **more,
    }
    return json.dumps(about, sort_keys=True, separators=(",", ":")).encode()


def fill(spool: Path, *records: tuple[bytes, bytes], segment_bytes: int = 64 * 1024 * 1024) -> None:
    """Seal the records of (origin, payload) into the spool."""
    appender = Appender(
        spool, segment_bytes=segment_bytes, segment_seconds=60, max_bytes=2**40, reserve_bytes=0
    )
    for record in records:
        appender.append(*record)
    appender.close()


class LedgerProcess:
    """`python -m ledger` against the ClickHouse at `url`; killed when the block ends."""

    def __init__(self, home: Path, url: str, password_file: Path, **settings: Any) -> None:
        self.home = home
        self.spool = home / "spool" / "alslog"
        self.journal = home / "spool" / "extauthz"
        self.quarantine = home / "quarantine"
        self.log = home / "ledger.log"
        self.config = home / "ledger-settings.json"
        home.mkdir(parents=True, exist_ok=True)
        sections = {
            "ledger": {"poll_seconds": 0.02, "retry_max_seconds": 0.5, **settings},
            "clickhouse": {"url": url, "writer_password_file": str(password_file)},
        }
        self.config.write_text(json.dumps(sections), encoding="utf-8")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process and self._process.poll() is None:
            self.kill()

    @property
    def pid(self) -> int:
        assert self._process is not None, "the process has not been started"
        return self._process.pid

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-m", "ledger", "--config", str(self.config), "--home", str(self.home)]

    def start(self) -> None:
        environment = {name: text for name, text in os.environ.items() if not name.startswith("GATELEDGER_")}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self.command, cwd=ROOT, env=environment, stdout=log, stderr=log)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self, deadline_seconds: float = 30) -> int:
        """SIGTERM, and the exit code."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(deadline_seconds)

    @property
    def status(self) -> dict[str, Any]:
        """What ledger.json says; empty before it is there."""
        try:
            found: dict[str, Any] = json.loads(
                (self.home / "run" / "ledger.json").read_text(encoding="utf-8")
            )
        except FileNotFoundError:
            return {}
        return found

    @property
    def events(self) -> list[dict[str, Any]]:
        """What it has logged so far."""
        return [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()]

    def waiting(self) -> int:
        """Segments in its spools."""
        below = (self.home / "spool").glob("**/*.seg")
        return len(list(below))

    def drained(self) -> None:
        """Come back when the spools are empty."""
        wait_until(lambda: self.waiting() == 0, f"empty spools; {self.status}")
