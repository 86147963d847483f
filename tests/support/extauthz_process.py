"""A real `python -m extauthz` in a process of its own, and a gRPC client to it."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
DEADLINE_SECONDS = 30.0
CHECK = "/envoy.service.auth.v3.Authorization/Check"


def wait_for(what: str, condition: Callable[[], Any]) -> Any:
    """What the condition gives once it is true; fails after DEADLINE_SECONDS."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)
    return found


@dataclass
class Service:
    """One extauthz with files of its own."""

    home: Path
    settings: dict[str, Any] = field(default_factory=dict)
    process: subprocess.Popen[str] | None = None

    @property
    def policy(self) -> Path:
        return self.home / "policy.csv"

    @property
    def socket(self) -> Path:
        return self.home / "run" / "extauthz.sock"

    @property
    def log(self) -> list[dict[str, Any]]:
        lines = (self.home / "log").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def event(self, name: str) -> dict[str, Any] | None:
        return next((entry for entry in self.log if entry["event"] == name), None)

    def put(self, text: str) -> None:
        beside = self.home / "policy.new"
        beside.write_text(text)
        beside.rename(self.policy)

    def start(self, *, ready: bool = True) -> Service:
        config = self.home / "gateledger.yaml"
        files = {"model": str(self.home / "model.conf"), "policy": str(self.policy)}
        issuers = [{"name": "demo", "roles": ["*"]}]
        config.write_text(
            json.dumps({"extauthz": {"metrics": "127.0.0.1:0", **files, "issuers": issuers, **self.settings}})
        )
        with (self.home / "log").open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "extauthz", "--config", str(config), "--home", str(self.home)],
                stderr=log,
                cwd=ROOT,
                text=True,
            )
        if ready:
            wait_for("extauthz", lambda: self.event("ready"))
        return self

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        return self.process.wait(DEADLINE_SECONDS)

    def channel(self) -> grpc.Channel:
        return grpc.insecure_channel(f"unix:{self.socket}")

    def check(self, message: bytes, timeout: float = 10.0) -> bytes:
        with self.channel() as channel:
            answer: bytes = channel.unary_unary(CHECK)(message, timeout=timeout)
            return answer

    def get(self, path: str) -> tuple[int, str]:
        """A probe's status and body."""
        ready = self.event("ready")
        assert ready is not None
        try:
            with urllib.request.urlopen(ready["metrics"] + path, timeout=5) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def metric(self, line: str) -> float:
        _, text = self.get("/metrics")
        return next((float(row.rpartition(" ")[2]) for row in text.splitlines() if row.startswith(line)), 0.0)
