"""What the witnesses of a running stack say: how many requests were sent, stored, and told to be missing.

The law that holds in every outcome of a kill, whoever wins which race: what was sent is stored, once, or
`gateledger audit gaps` says to the number that it is missing, and why.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import select
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
from stack_process import StackProcess, eventually

# Counters are read often, and one worker of Envoy has one stream: an entry on it comes after all before it.
WATCHED = {"GATELEDGER_ENVOY__COUNTERS_SECONDS": "0.25", "GATELEDGER_ENVOY__CONCURRENCY": "1"}
# A request that ends within 250 ms of a reading of the counters may be on either side of it (audit/gaps.py).
CLEAR_SECONDS = 0.3


@dataclass(frozen=True)
class Told:
    """What `audit gaps` said: exit code, rows, and its words."""

    code: int
    rows: list[dict[str, Any]]
    said: str

    @property
    def missing(self) -> dict[str, int]:
        """How many, by finding."""
        found = Counter[str]()
        for row in self.rows:
            found[row["finding"]] += row["missing"]
        return dict(found)


@dataclass
class Period:
    """What happens to a stack from one quiet moment to the next one."""

    stack: StackProcess
    since: float

    @classmethod
    def begin(cls, stack: StackProcess) -> Period:
        """From now on. Comes back once the counters were read: the reading that later ones are held against."""
        since = time.time()
        eventually(lambda: last_reading(stack) >= since + CLEAR_SECONDS, "a first reading of the counters")
        return cls(stack, since)

    def stored(self) -> int:
        """Rows of the period so far."""
        with self.stack.reader() as client:
            sql = "SELECT count() FROM audit.access_log WHERE time >= fromUnixTimestamp64Micro({since:Int64}, 'UTC')"
            since = int(self.since * 1e6)
            return int(client.query(sql, parameters={"since": since}).result_rows[0][0])

    def settle(self) -> int:
        """Come back when all that will ever be stored of the period is; requests that were answered for this."""
        return settle(self.stack)

    def told(self, *, read_since: float | None = None) -> Told:
        """What `audit gaps` says of the period, up to now.

        `read_since`: when the counters must have been read; default: now.
        """
        now = time.time()
        eventually(lambda: not waiting(self.stack), "all is stored")
        eventually(lambda: last_reading(self.stack) >= (read_since or now), "a reading of the counters")
        return eventually(lambda: self._compared(now), "all of the period is compared")

    def _compared(self, until: float) -> Told | None:
        """What is said; None when it is not said of all that came before `until`, because something waits again."""
        start = datetime.fromtimestamp(self.since, UTC).isoformat()
        settle = str(time.time() - until)
        done = self.stack.run("audit", "gaps", "--since", start, "--settle", settle, "--format", "json")
        assert done.returncode in (0, 1), done.stderr
        if "nothing could be compared" in done.stderr or "still wait to be stored" in done.stderr:
            return None
        return Told(done.returncode, json.loads(done.stdout), done.stderr)


def settle(stack: StackProcess) -> int:
    """Ask until a request passes and its row is there; how many were answered.

    A request's entry goes the way of all before it: once it is stored, they are or never will be.
    """
    answered = 0

    def passed() -> str | None:
        nonlocal answered
        try:
            answer = stack.ask("/orders/health")
        except (OSError, http.client.HTTPException):
            return None
        answered += 1
        return answer.headers["x-request-id"] if answer.status == 200 else None

    request_id = eventually(passed, "a request that passes")
    # Whoever was killed runs again by then, but may not listen yet.
    eventually(lambda: answers(stack), "ClickHouse answers")
    stack.row(request_id)
    # Its decision comes by another way.
    eventually(lambda: decided(stack, request_id), "its decision")
    eventually(lambda: not waiting(stack), "empty spools")
    return answered


def answers(stack: StackProcess) -> bool:
    """Whether ClickHouse does."""
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"{stack.ready['clickhouse']}/ping", trust_env=False).status_code == 200
    return False


def decided(stack: StackProcess, request_id: str) -> int:
    """How many decisions of that request the ledger has."""
    with stack.reader() as client:
        sql = "SELECT count() FROM audit.decision_log WHERE request_id = {id:String}"
        return int(client.query(sql, parameters={"id": request_id}).result_rows[0][0])


def counters(stack: StackProcess) -> dict[str, int]:
    """Envoy's own counts of what it logged."""
    return stats_of(stack, "grpc_access_log")


def refused_connections(stack: StackProcess) -> int:
    """How often Envoy's log stream was opened towards an alslog that was not there."""
    return stats_of(stack, r"cluster\.alslog\.upstream_cx_connect_fail$").get("upstream_cx_connect_fail", 0)


def broken_streams(stack: StackProcess) -> int:
    """How often Envoy's connection to alslog ended under a stream."""
    name = "upstream_cx_destroy_with_active_rq"
    return stats_of(stack, rf"cluster\.alslog\.{name}$").get(name, 0)


def on_disk(stack: StackProcess) -> int:
    """Entries that this alslog has on disk, since it started."""
    text = httpx.get(f"{stack.ready['metrics']['alslog']}/metrics", trust_env=False).text
    found = re.search(r"^gateledger_als_entries_total (\S+)$", text, re.MULTILINE)
    assert found, text
    return int(float(found[1]))


def waiting(stack: StackProcess) -> list[str]:
    """The segments of entries and decisions that wait to be stored."""
    spools = stack.home / "spool"
    return [path.name for path in (*spools.glob("alslog/*-*"), *spools.glob("decisions/*/*-*"))]


def last_reading(stack: StackProcess) -> float:
    """When the newest reading of Envoy's counters in the ledger was taken."""
    with stack.reader() as client:
        sql = "SELECT toUnixTimestamp64Milli(max(time)) FROM audit.envoy_counters"
        return int(client.query(sql).result_rows[0][0]) / 1000


def kill(stack: StackProcess, name: str) -> int:
    """SIGKILL; comes back when the process is dead, and gives the pid that it had."""
    pid = eventually(lambda: stack.pid(name), f"{name} runs")
    end = os.pidfd_open(pid)
    try:
        os.kill(pid, signal.SIGKILL)
        assert select.select([end], [], [], 30)[0], f"{name} does not die"
    finally:
        os.close(end)
    return pid


def again(stack: StackProcess, name: str, before: int) -> None:
    """Come back when the process that was killed has been started again."""
    eventually(lambda: stack.pid(name) not in (None, before), f"{name} is started again")


class QuietKill:
    """Kills alslog at a moment when it has nothing in its hands: all that Envoy has sent is on its disk.

    Made while nobody asks for anything. No look at two processes is one moment: whether nothing was sent
    between the look and the end is known afterwards.
    """

    def __init__(self, stack: StackProcess) -> None:
        settle(stack)
        self._stack = stack
        self._sent = counters(stack)["grpc_entries_flushed"]
        self._on_disk = on_disk(stack)
        self._refused = refused_connections(stack)
        self._at_kill = self._dead = self._pid = 0

    def __call__(self) -> None:
        """Wait for the moment, and kill."""
        eventually(self._nothing_in_hand, "all that was sent is on disk")
        self._pid = kill(self._stack, "alslog")
        self._dead = counters(self._stack)["grpc_entries_flushed"]

    def _nothing_in_hand(self) -> bool:
        self._at_kill = counters(self._stack)["grpc_entries_flushed"]
        return on_disk(self._stack) - self._on_disk == self._at_kill - self._sent

    def met_nothing(self) -> bool:
        """Whether nothing was sent to it while it died, nor to an alslog that was not there. When it is up again."""
        again(self._stack, "alslog", self._pid)
        return self._at_kill == self._dead and refused_connections(self._stack) == self._refused


def load(stack: StackProcess, requests: int, at: Mapping[int, Callable[[], object]]) -> int:
    """So many requests by two clients, one each 3 ms; what is in `at` is done when so many were answered."""
    answered, lock = 0, threading.Lock()

    def client() -> None:
        nonlocal answered
        connection = http.client.HTTPConnection(stack.proxy, timeout=30)
        for _ in range(requests // 2):
            connection.request("GET", "/orders/health")
            connection.getresponse().read()
            with lock:
                answered += 1
                action = at.get(answered)
            if action:
                action()
            # The load's pace, nothing that a test waits for: kills are to meet a stream of requests, not a burst.
            time.sleep(0.003)
        connection.close()

    threads = [threading.Thread(target=client) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answered


def stats_of(stack: StackProcess, pattern: str) -> dict[str, int]:
    transport = httpx.HTTPTransport(uds=stack.ready["envoy_admin"].removeprefix("unix:"))
    with httpx.Client(transport=transport, base_url="http://envoy-admin", timeout=30) as client:
        text = client.get("/stats", params={"filter": pattern}).text
    return {name: int(value) for name, value in re.findall(r"\.(\w+): (\d+)$", text, re.MULTILINE)}
