"""The server of a soak: `python -m extauthz` with all that it does, watched from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import psutil

from spool import delete, sealed_segments

ROOT = Path(__file__).parents[1]
_MODEL = ROOT / "policies" / "model.conf"
_START_SECONDS = 60.0
_STOP_SECONDS = 60.0
# Log lines that no soak may bring about.
_WRONG = ("a call failed", "Traceback", "exception")


class SoakServer:
    """One extauthz in a home of its own, its log in a file, its policy in `policy`."""

    def __init__(self, home: Path, transport: str, policy: str) -> None:
        self._home = home
        self.policy = home / "policy.csv"
        self.policy.write_text(policy)
        section = {
            "metrics": "127.0.0.1:0",
            "issuers": [{"name": "demo", "roles": ["*"]}],
            "model": str(_MODEL),
            "policy": str(self.policy),
            "transport": transport,
        }
        config = home / "gateledger.yaml"
        config.write_text(json.dumps({"extauthz": section}))
        command = [sys.executable, "-m", "extauthz", "--config", str(config), "--home", str(home)]
        path = os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", "")))
        with (home / "log").open("w") as log:
            self._process = subprocess.Popen(
                command, stderr=log, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}
            )
        self._watched = psutil.Process(self._process.pid)
        ready = self._said("ready", _START_SECONDS)
        self.address: str = ready["listen"][0]
        self._probes: str = ready["metrics"]

    def put(self, policy: str) -> None:
        """Another policy in the place of this one."""
        beside = self._home / "policy.new"
        beside.write_text(policy)
        beside.rename(self.policy)

    @property
    def version(self) -> str:
        """The policy that decides."""
        return str(json.loads(self._get("/readyz"))["policy_version"])

    def answered(self) -> int:
        """Checks that its metrics count."""
        lines = self._get("/metrics").decode().splitlines()
        return int(
            sum(
                float(line.rpartition(" ")[2]) for line in lines if line.startswith("gateledger_checks_total")
            )
        )

    def resident(self) -> int:
        """Bytes of memory of the process and its children."""
        return sum(each.memory_info().rss for each in self._family())

    def open_files(self) -> int:
        return sum(each.num_fds() for each in self._family())

    def cpu_seconds(self) -> float:
        return sum(sum(each.cpu_times()[:2]) for each in self._family())

    def carry_away(self) -> int:
        """What a ledger does: sealed segments leave the spools; how many."""
        spools = self._home / "spool"
        segments = [
            segment
            for spool in (spools / "extauthz", *(spools / "decisions").glob("*/"))
            for segment in sealed_segments(spool)
        ]
        delete(segments)
        return len(segments)

    def stop(self) -> dict[str, Any]:
        """End it as its users do; its last word. Raises AssertionError where it does not end well."""
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(_STOP_SECONDS) == 0
        return self._said("stopped", 0.0)

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def wrongs(self) -> list[str]:
        """Lines of its log that tell of a mistake."""
        with (self._home / "log").open() as log:
            return [line.rstrip() for line in log if any(word in line for word in _WRONG)]

    def _family(self) -> list[psutil.Process]:
        return [self._watched, *self._watched.children(recursive=True)]

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(self._probes + path, timeout=30) as response:
            text: bytes = response.read()
            return text

    def _said(self, event: str, seconds: float) -> dict[str, Any]:
        """The last log line of an event, waited for so long."""
        until = time.monotonic() + seconds
        while True:
            lines = [line for line in (self._home / "log").read_text().splitlines() if line.startswith("{")]
            found = [entry for entry in map(json.loads, lines) if entry["event"] == event]
            if found:
                return dict(found[-1])
            assert self._process.poll() is None or not seconds, "extauthz ended: " + "\n".join(lines[-5:])
            assert time.monotonic() < until, f"extauthz did not say {event}"
            time.sleep(0.05)
