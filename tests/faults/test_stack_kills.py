"""Any process of a running stack is killed at any moment under load: what is not stored is named.

Here nothing is chosen about the moment. That a kill at a quiet one loses nothing is tests/e2e/test_completeness.py.
"""

from __future__ import annotations

import http.client
import itertools
import logging
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from stack_process import StackProcess
from witnesses import WATCHED, Period, again, kill

pytestmark = [pytest.mark.faults, pytest.mark.timeout(7200)]

# What was allowed is in extauthz's journal before it is answered, so each lost record has a decision that tells.
REQUIRED = {**WATCHED, "GATELEDGER_EXTAUTHZ__AUDIT_REQUIRED": "true"}
PROCESSES = ("envoy", "alslog", "extauthz", "ledger", "chserver")
FEWEST_KILLS = 12
# `make faults` shows it: its hundreds of kills take a quarter of an hour.
LOG = logging.getLogger(__name__)


@dataclass
class Clients:
    """Two clients that ask again and again; each request has a user agent of its own. Safe for threads."""

    stack: StackProcess
    sent: set[str] = field(default_factory=set)
    allowed: dict[str, str] = field(default_factory=dict)
    """Request id by user agent, of what was answered 200."""
    statuses: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._run_id = random.randrange(2**32)
        self._threads = [threading.Thread(target=self._ask_on, daemon=True) for _ in range(2)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def _ask_on(self) -> None:
        connection = http.client.HTTPConnection(self.stack.proxy, timeout=30)
        while not self._stop.wait(0.004):
            try:
                self._ask(connection)
            except (OSError, http.client.HTTPException):
                # Envoy is away; the next request opens a new connection.
                connection.close()
        connection.close()

    def _ask(self, connection: http.client.HTTPConnection) -> None:
        agent = f"{self._run_id:08x}-{next(self._numbers)}"
        with self._lock:
            self.sent.add(agent)
        connection.request("GET", "/orders/health", headers={"user-agent": agent})
        answer = connection.getresponse()
        answer.read()
        with self._lock:
            self.statuses[answer.status] += 1
            if answer.status == 200:
                self.allowed[agent] = answer.headers["x-request-id"]


def test_whoever_is_killed_whenever_each_request_is_stored_once_or_told_to_be_missing(
    tmp_path: Path, cycles: int
) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    with StackProcess(tmp_path / "home", REQUIRED) as stack:
        period = Period.begin(stack)
        clients = Clients(stack)
        order = list(PROCESSES)
        try:
            for number in range(kills := max(FEWEST_KILLS, cycles)):
                if number % 20 == 0:
                    LOG.info("%d of %d kills, seed %d", number, kills, seed)
                # The moment of a kill is what chance decides here; what is asserted holds at every moment.
                time.sleep(chance.random() * 0.5)
                # One of those that live longest: who dies again and again is started later and later.
                order.append(order.pop(chance.randrange(3)))
                again(stack, order[-1], kill(stack, order[-1]))
        finally:
            clients.stop()
        period.settle()
        told = period.told()
        since = {"since": period.since}
        records = stack.rows("time >= {since:Float64}", **since)
        with stack.reader() as client:
            journal = "SELECT request_id FROM audit.decision_log WHERE time >= {since:Float64}"
            decided = Counter(row[0] for row in client.query(journal, parameters=since).result_rows)

    stored = Counter(record["request_id"] for record in records)
    agents = {record["user_agent_original"] for record in records}
    unrecorded = decided.keys() - stored.keys()
    lost = clients.allowed.keys() - agents
    context = f"seed {seed}, statuses {clients.statuses}, lost {len(lost)}, {told}"
    assert clients.allowed, context
    # `settle` has no user agent.
    assert agents <= {*clients.sent, ""}, context
    assert set(stored.values()) == set(decided.values()) == {1}, context
    assert {clients.allowed[agent] for agent in lost} <= unrecorded, context
    # The journal was on disk before the answer: what is missing is told to the number.
    assert told.missing.get("decision_without_record", 0) == len(unrecorded), context
    assert "record_without_decision" not in told.missing, context
    assert not [row for row in told.rows if "more records than requests" in row["cause"]], context
