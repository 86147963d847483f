"""Several processes of extauthz behind the real Envoy: one policy, no request lost to the death of one, no gap.

`audit_required` is on: each answered decision is on disk, so that the three witnesses agree whatever dies.
"""

from __future__ import annotations

import http.client
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from stack_process import StackProcess, eventually
from witnesses import WATCHED, Period, stats_of

from gateledger.assets import asset

WORKERS = 2
CLIENTS = 4
REQUESTS = 60


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("policy") / "policy.csv"
    path.write_text(asset("policies/policy.csv").read_text())
    return path


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory, policy: Path) -> Iterator[StackProcess]:
    """A stack whose Checks two workers answer; these tests may hurt it."""
    settings = {
        **WATCHED,
        "GATELEDGER_EXTAUTHZ__WORKERS": str(WORKERS),
        "GATELEDGER_EXTAUTHZ__TRANSPORT": "fast",
        "GATELEDGER_EXTAUTHZ__AUDIT_REQUIRED": "true",
        # As long as Envoy waits: a disk that is slow for a moment is not what this is about.
        "GATELEDGER_EXTAUTHZ__DEADLINE_SECONDS": "2",
        "GATELEDGER_EXTAUTHZ__POLICY": str(policy),
    }
    with StackProcess(tmp_path_factory.mktemp("gl") / "home", settings) as running:
        assert running.process
        yield running
        family = psutil.Process(running.process.pid).children(recursive=True)
        code = running.stop()
        _, left = psutil.wait_procs(family, timeout=10)

        assert (code, left) == (0, []), running.said()
        assert len(family) > WORKERS


def readiness(stack: StackProcess) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{stack.ready['metrics']['extauthz']}/readyz", trust_env=False).json()
    return found


def load(stack: StackProcess, requests: int, at: int, action: Callable[[], object]) -> Counter[int]:
    """What so many clients saw, each with so many requests in a row; the action comes in the midst of them."""
    seen: Counter[int] = Counter()
    lock = threading.Lock()

    def client() -> None:
        connection = http.client.HTTPConnection(stack.proxy, timeout=30)
        for _ in range(requests):
            connection.request("GET", "/orders/health")
            answer = connection.getresponse()
            answer.read()
            with lock:
                seen[answer.status] += 1
                due = seen.total() == at
            if due:
                action()
        connection.close()

    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seen


def checks_of(stack: StackProcess) -> Counter[str]:
    """How many Checks each worker has answered since it started."""
    text = httpx.get(f"{stack.ready['metrics']['extauthz']}/metrics", trust_env=False).text
    found: Counter[str] = Counter()
    for line in text.splitlines():
        if line.startswith("gateledger_checks_total"):
            found[line.partition('worker="')[2][0]] += int(float(line.rpartition(" ")[2]))
    return found


def both_answer(stack: StackProcess) -> None:
    """Come back when both workers answer, and Envoy has seen it."""
    eventually(lambda: all(one["serving"] for one in readiness(stack)["workers"]), "both answer")
    healthy = r"cluster\.extauthz\.membership_healthy$"
    eventually(lambda: stats_of(stack, healthy)["membership_healthy"] == WORKERS, "Envoy sees both")


def kill_one(stack: StackProcess) -> None:
    os.kill(readiness(stack)["workers"][0]["pid"], signal.SIGKILL)


def fine_status(stack: StackProcess) -> str | None:
    """What `gateledger status` shows, as soon as it has nothing to say against it."""
    status = stack.run("status")
    return None if status.returncode else status.stdout


def test_the_answers_are_those_of_one_and_come_from_both(many: StackProcess) -> None:
    token = many.token("alice", "customer")
    both_answer(many)
    before = checks_of(many)
    seen = [
        (many.ask("/orders/1", token=token).status, many.ask("/admin/users", token=token).status)
        for _ in range(40)
    ]
    asked = checks_of(many) - before
    status = eventually(lambda: fine_status(many), "all is well")

    assert seen == [(200, 403)] * 40
    assert asked.total() == 80
    assert set(asked) == {"0", "1"}
    assert "worker 1" in status
    assert len(many.ready["extauthz"]) == WORKERS


def test_the_death_of_one_under_load_costs_no_request_and_leaves_no_gap(many: StackProcess) -> None:
    both_answer(many)
    period = Period.begin(many)
    seen = load(many, REQUESTS, CLIENTS * REQUESTS // 4, lambda: kill_one(many))
    eventually(lambda: readiness(many)["workers"][0]["restarts"], "the dead one is started again")
    both_answer(many)
    settled = period.settle()
    told = period.told()

    assert seen == {200: CLIENTS * REQUESTS}
    assert readiness(many)["workers"][0]["restarts"] == 1
    assert period.stored() == CLIENTS * REQUESTS + settled
    assert (told.code, told.rows) == (0, []), told


def test_a_new_policy_decides_in_both_and_a_broken_one_in_none(many: StackProcess, policy: Path) -> None:
    both_answer(many)
    before, text = versions(many), policy.read_text()
    replace(policy, text + "p, anonymous, orders, /orders/health, GET, deny\n")
    eventually(lambda: versions(many).isdisjoint(before), "the new policy decides")
    after = versions(many)
    denied = [many.ask("/orders/health") for _ in range(20)]
    replace(policy, "p, broken\n")
    refused = eventually(lambda: readiness(many)["refused"], "the broken one is refused")
    still = [many.ask("/orders/health").status for _ in range(10)]
    kept = versions(many)
    status = many.run("status")
    replace(policy, text)
    eventually(lambda: versions(many) == before, "the old one is back")

    assert len(before) == len(after) == 1
    assert [answer.status for answer in denied] == [401] * 20
    assert (still, kept) == ([401] * 10, after)
    assert "policy.csv:1" in refused["findings"][0]
    assert "worker 0" in status.stdout
    assert "a changed policy" in status.stdout


def replace(path: Path, text: str) -> None:
    beside = path.with_suffix(".new")
    beside.write_text(text)
    beside.rename(path)


def versions(stack: StackProcess) -> set[str]:
    """The policies by which the workers decide."""
    return {one["policy_version"] for one in readiness(stack)["workers"]}
