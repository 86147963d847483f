"""kill -9 of receiver, writer and ClickHouse at random points under load; then SIGTERM under load.

Envoy's end is tests/e2e (test_failures_end_to_end.py, test_completeness.py).
"""

from __future__ import annotations

import logging
import random
import threading
import time
from pathlib import Path

import grpc
import pytest
from alslog_process import METHOD, AlsLogProcess
from chserver_process import ChServerProcess
from ledger_process import LedgerProcess, wait_until
from set_checker import SetChecker, entry

from protos.gen import als_pb2 as als

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3600)]

# `make faults` shows it.
LOG = logging.getLogger(__name__)


class Sender:
    """Streams without end, a few messages each; what was answered is accepted."""

    def __init__(self, address: str, checker: SetChecker, seed: int) -> None:
        self._address, self._checker = address, checker
        self._chance = random.Random(seed)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._stop.is_set():
            with grpc.insecure_channel(self._address) as channel:
                for _ in range(50):
                    if self._stop.is_set() or not self._stream(channel):
                        break
            self._stop.wait(0.01)

    def _stream(self, channel: grpc.Channel) -> bool:
        paths = [
            self._checker.new(self._chance.randrange(1, 40)) for _ in range(self._chance.randrange(1, 4))
        ]
        try:
            channel.stream_unary(METHOD)(iter(self._messages(paths)), timeout=10)
        except grpc.RpcError:
            return False
        for each in paths:
            self._checker.accept(each)
        return True

    def _messages(self, paths: list[list[str]]) -> list[bytes]:
        made = [als.StreamAccessLogsMessage(http_logs={"log_entry": map(entry, each)}) for each in paths]
        made[0].identifier.node.id = self._checker.node
        return [message.SerializeToString() for message in made]


class Services:
    """All three, each by its name."""

    def __init__(self, home: Path) -> None:
        self.chserver = ChServerProcess(home / "ch")
        self.chserver.start()
        self.alslog = AlsLogProcess(home)
        self.alslog.start()
        self.ledger = LedgerProcess(home, self.chserver.url, self.chserver.password_file)
        self.ledger.start()
        self.up()

    def up(self) -> None:
        """The writer works, so that a SIGTERM finds it with its handlers set."""
        began = time.time()
        wait_until(
            lambda: self.ledger.status.get("clickhouse") == "up" and self.ledger.status["updated_at"] > began,
            "the writer to work",
        )

    def kill(self, name: str) -> None:
        service = {"alslog": self.alslog, "ledger": self.ledger, "chserver": self.chserver}[name]
        service.kill()
        service.start()

    def stop(self) -> None:
        for service in (self.alslog, self.ledger, self.chserver):
            service.stop()

    def end(self) -> None:
        """All that was received is stored, and all but ClickHouse has ended."""
        assert 0 == self.alslog.stop()
        self.ledger.drained()
        assert 0 == self.ledger.stop()
        assert self.ledger.status["last_error"] is None


def test_whoever_is_killed_whenever_every_accepted_entry_is_stored_once(
    tmp_path: Path, checker: SetChecker, cycles: int
) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    services = Services(tmp_path)
    senders = [Sender(services.alslog.address, checker, seed + number) for number in range(2)]
    try:
        for number in range(cycles):
            if number % 20 == 0:
                LOG.info("%d of %d kills, seed %d", number, cycles, seed)
            time.sleep(chance.random() * 0.4)
            services.kill(chance.choice(["alslog", "ledger", "chserver"]))
        for sender in senders:
            sender.stop()
        wait_until(lambda: bool(checker.accepted), "an accepted stream")
        services.end()

        assert [] == checker.findings(checker.stored(services.chserver.writer_client())), f"seed {seed}"
    finally:
        for sender in senders:
            sender.stop()
        services.stop()


def test_sigterm_of_each_under_load_loses_nothing_that_was_accepted(
    tmp_path: Path, checker: SetChecker
) -> None:
    services = Services(tmp_path)
    sender = Sender(services.alslog.address, checker, 1)
    try:
        for service in (services.ledger, services.chserver, services.alslog):
            before = len(checker.accepted)
            wait_until(lambda before=before: len(checker.accepted) > before + 200, "some load")  # type: ignore[misc]
            assert 0 == service.stop()
            service.start()
            services.up()
        sender.stop()
        services.end()

        checker.check(services.chserver.writer_client())
    finally:
        sender.stop()
        services.stop()
