"""Merges stop while the writer's statements queue up, and no statement that needs them suffers."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from chserver_http import request, writer
from chserver_process import ChServerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

DEADLINE_SECONDS = 30
BURDEN = "SELECT sleep(3)"  # Takes a writer's place and no processor; nothing waits for its end.
PARTS = "SELECT count() FROM system.parts WHERE table = 't2' AND active"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChServerProcess]:
    """A server of its own: others' merges would be stopped."""
    with ChServerProcess(tmp_path_factory.mktemp("home")) as server:
        for statement in (
            "CREATE DATABASE audit",
            "CREATE TABLE audit.t2 (x UInt64) ENGINE = MergeTree ORDER BY x",
        ):
            assert 200 == request(server, statement, headers=writer(server)).status
        yield server


def wait_for(server: ChServerProcess, text: str, times: int = 1) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while server.log.read_text(encoding="utf-8").count(text) < times:
        assert time.monotonic() < deadline, server.log.read_text(encoding="utf-8")
        time.sleep(0.05)  # A log tells nobody that it has grown; one has to look.


def test_merges_wait_for_a_burst_and_are_there_for_whom_needs_them(own: ChServerProcess) -> None:
    def run(sql: str) -> str:
        reply = request(own, sql, headers=writer(own))
        assert 200 == reply.status, reply.text
        return reply.text.strip()

    def burden(over: threading.Event) -> None:
        while not over.is_set():
            run(BURDEN)

    over = threading.Event()
    with ThreadPoolExecutor() as threads:
        busy = [threads.submit(burden, over) for _ in range(3)]
        try:
            wait_for(own, "merges wait while inserts queue up")
            for number in range(40):
                run(f"INSERT INTO audit.t2 SELECT {number}")
            unmerged = run(PARTS)
            run("OPTIMIZE TABLE audit.t2 FINAL")
            optimized = run(PARTS)
            run("ALTER TABLE audit.t2 DELETE WHERE x = 7 SETTINGS mutations_sync = 2")
            left = run("SELECT count() FROM audit.t2")
        finally:
            over.set()
        for each in busy:
            each.result()
    run("INSERT INTO audit.t2 SELECT 100")
    wait_for(own, "merges go on")

    assert ("40", "1", "39") == (unmerged, optimized, left)
