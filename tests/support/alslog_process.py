"""alslog for tests: the real process on free addresses, messages for it, and what it spooled."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc

from protos.gen import accesslog_pb2, als_pb2
from spool import Record, sealed_segments

ROOT = Path(__file__).resolve().parents[2]
METHOD = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs"
PATIENCE_SECONDS = 30.0


def entry(path: str) -> accesslog_pb2.HTTPAccessLogEntry:
    return accesslog_pb2.HTTPAccessLogEntry(request={"path": path})


def message(paths: Iterable[str], node: str = "", log_name: str = "log") -> bytes:
    """A StreamAccessLogsMessage; with a node it is a stream's first one."""
    identifier = {"node": {"id": node}, "log_name": log_name} if node else None
    return als_pb2.StreamAccessLogsMessage(
        identifier=identifier, http_logs={"log_entry": [entry(path) for path in paths]}
    ).SerializeToString()


class AlsLogProcess:
    """`python -m alslog` on HOME; stopped by SIGTERM when the block ends. May be entered again.

    `settings` are further keys of the section `alslog`. `program` takes the place of `-m alslog`.
    """

    def __init__(self, home: Path, program: Sequence[str] = ("-m", "alslog"), **settings: Any) -> None:
        self.home = home
        self.spool = home / "spool" / "alslog"
        self.address = f"unix:{home}/run/alslog.sock"
        self.logged: list[dict[str, Any]] = []
        self._program = program
        self._settings = {"metrics": "127.0.0.1:0", "segment_seconds": 0.05} | settings
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.stop()
        self._finish()

    @property
    def process(self) -> subprocess.Popen[str]:
        assert self._process is not None, "the process has not been started"
        return self._process

    def start(self) -> None:
        """Start the process and wait until it says that it is ready."""
        self.logged.clear()
        self._process = self.popen()
        self._reader = threading.Thread(target=self._collect, args=(self._process,), daemon=True)
        self._reader.start()
        self.until(lambda: self.said("ready") or self.process.poll() is not None, "alslog is ready")
        assert self.said("ready"), f"alslog did not start: {self.logged}"

    def popen(self, *arguments: str) -> subprocess.Popen[str]:
        """The process with pipes, whatever it does."""
        self.home.mkdir(parents=True, exist_ok=True)
        config = self.home / "alslog.json"
        config.write_text(json.dumps({"alslog": self._settings}), encoding="utf-8")
        command = [sys.executable, *self._program, "--config", str(config), "--home", str(self.home)]
        environment = {name: text for name, text in os.environ.items() if not name.startswith("GATELEDGER_")}
        return subprocess.Popen(
            [*command, *arguments],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.terminate()
        return self.wait()

    def kill(self) -> None:
        """SIGKILL, as a crash."""
        self.process.kill()
        self.wait()

    def wait(self) -> int:
        """The exit code, once it ended and all that it logged was read."""
        code = self.process.wait(PATIENCE_SECONDS)
        self._finish()
        return code

    def said(self, event: str) -> list[dict[str, Any]]:
        """The log records of one event."""
        return [record for record in self.logged if record.get("event") == event]

    def channel(self) -> grpc.aio.Channel:
        """A client's connection, ready to be used."""
        return grpc.aio.insecure_channel(self.address, options=[("grpc.max_send_message_length", -1)])

    async def send(self, messages: Iterable[bytes]) -> bytes:
        """All messages on a stream of its own connection, half-closed; the answer."""
        async with self.channel() as channel:
            answer: bytes = await channel.stream_unary(METHOD)(iter(messages))
            return answer

    def metric(self, name: str) -> float:
        """The value of a metric, `name{label="x"}` if it has labels."""
        lines = self._get("/metrics").splitlines()
        (value,) = (line.rpartition(" ")[2] for line in lines if line.rpartition(" ")[0] == name)
        return float(value)

    def readiness(self) -> dict[str, Any]:
        """What /readyz tells."""
        told: dict[str, Any] = json.loads(self._get("/readyz"))
        return told

    def records(self) -> list[Record]:
        """Everything in sealed segments."""
        return [record for segment in sealed_segments(self.spool) for record in segment.records()]

    def origins(self) -> list[dict[str, Any]]:
        """Where the sealed records come from, without their time."""
        read = [json.loads(record.origin) for record in self.records()]
        assert all(abs(origin.pop("received_at") / 1e9 - time.time()) < 300 for origin in read)
        return read

    def paths(self) -> list[str]:
        """Of every HTTP entry in the sealed records."""
        entries = als_pb2.StreamAccessLogsMessage.HTTPAccessLogEntries
        return [
            one.request.path
            for record in self.records()
            if json.loads(record.origin)["kind"] == "http"
            for one in entries.FromString(record.payload).log_entry
        ]

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait for the condition; fail with `what` when it does not come."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"never: {what}; logged: {self.logged}"
            time.sleep(0.01)

    async def seen(self, condition: Callable[[], object], what: str) -> None:
        """As `until`, while the event loop goes on."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"never: {what}; logged: {self.logged}"
            await asyncio.sleep(0.01)

    def _get(self, path: str) -> str:
        url = self.said("ready")[0]["metrics"]
        with urllib.request.urlopen(f"{url}{path}", timeout=10) as answer:
            return str(answer.read(), "utf-8")

    def _collect(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr
        for line in process.stderr:
            try:
                self.logged.append(json.loads(line))
            except ValueError:
                self.logged.append({"event": "", "text": line})

    def _finish(self) -> None:
        self._reader.join(PATIENCE_SECONDS)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe:
                pipe.close()
