"""Nothing is lost that need not be, and what is lost is told: the real Envoy, the real processes, real kills."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from stack_process import StackProcess, eventually


@pytest.fixture(scope="module")
def witnessed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    """A stack whose counters are read often; these tests may hurt it."""
    often = {"GATELEDGER_ENVOY__COUNTERS_SECONDS": "0.25"}
    with StackProcess(tmp_path_factory.mktemp("gl") / "home", often) as running:
        yield running


def counters(stack: StackProcess) -> dict[str, int]:
    """Envoy's own counts of what it logged."""
    transport = httpx.HTTPTransport(uds=stack.ready["envoy_admin"].removeprefix("unix:"))
    with httpx.Client(transport=transport, base_url="http://envoy-admin") as client:
        text = client.get("/stats", params={"filter": "grpc_access_log"}).text
    return {name: int(value) for name, value in re.findall(r"\.(\w+): (\d+)$", text, re.MULTILINE)}


def gaps(
    stack: StackProcess, since: float, *, read_since: float | None = None
) -> tuple[int, list[dict[str, Any]], str]:
    """Exit code, rows and what was said, of all that happened from `since` until now, once it is stored.

    `read_since`: when the counters must have been read; default: now.
    """
    now = time.time()
    spools = stack.home / "spool"
    eventually(lambda: not [*spools.glob("alslog/*-*"), *spools.glob("decisions/*/*-*")], "all is stored")
    eventually(lambda: last_reading(stack) >= (read_since or now), "a reading of the counters")
    start = datetime.fromtimestamp(since, UTC).isoformat()
    settle = str(time.time() - now)
    done = stack.run("audit", "gaps", "--since", start, "--settle", settle, "--format", "json")
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, json.loads(done.stdout), done.stderr


def last_reading(stack: StackProcess) -> float:
    with stack.reader() as client:
        sql = "SELECT toUnixTimestamp64Milli(max(time)) FROM audit.envoy_counters"
        return int(client.query(sql).result_rows[0][0]) / 1000


def load(stack: StackProcess, requests: int, at: dict[int, Callable[[], None]]) -> int:
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
                action = at.pop(answered, None)
            if action:
                action()
            time.sleep(0.003)
        connection.close()

    threads = [threading.Thread(target=client) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answered


def kill(stack: StackProcess, name: str) -> None:
    pid = stack.pid(name)
    assert pid
    os.kill(pid, signal.SIGKILL)


def kill_after_a_flush(stack: StackProcess) -> None:
    """Kill alslog with nothing in its hands: what it had read and not yet written is another matter."""
    sent = counters(stack)["grpc_entries_flushed"]
    eventually(lambda: counters(stack)["grpc_entries_flushed"] > sent, "a flush")
    time.sleep(0.1)
    kill(stack, "alslog")


def stored(stack: StackProcess, since: float) -> int:
    with stack.reader() as client:
        sql = "SELECT count() FROM audit.access_log WHERE time >= fromUnixTimestamp64Micro({since:Int64}, 'UTC')"
        return int(client.query(sql, parameters={"since": int(since * 1e6)}).result_rows[0][0])


def test_a_clean_run_has_no_gap(witnessed: StackProcess) -> None:
    since = time.time()
    token = witnessed.token("alice", "customer")
    for path in ("/orders/health", "/orders/1", "/admin/users", "/nowhere", "/orders%2f1", "/orders/1;a"):
        witnessed.ask(path)
        witnessed.ask(path, token=token)
    code, rows, said = gaps(witnessed, since)

    assert (code, rows) == (0, []), said
    assert "nothing is missing" in said
    assert "Envoys with counters: gateledger" in said


def test_twelve_of_twelve_entries_survive_a_kill_of_alslog(witnessed: StackProcess) -> None:
    since = time.time()
    seen = [witnessed.ask("/orders/health").status for _ in range(6)]
    kill(witnessed, "alslog")
    seen += [witnessed.ask("/orders/health").status for _ in range(6)]

    assert seen == [200] * 12
    eventually(lambda: stored(witnessed, since) == 12, "12 records")


def test_six_hundred_of_six_hundred_entries_survive_kills_of_alslog_under_load(
    witnessed: StackProcess,
) -> None:
    since = time.time()
    answered = load(witnessed, 600, {200: lambda: kill_after_a_flush(witnessed)})

    assert answered == 600
    eventually(lambda: stored(witnessed, since) == 600, f"600 records, not {stored(witnessed, since)}")
    assert counters(witnessed)["logs_dropped"] == 0


def test_what_a_kill_of_alslog_lost_is_told_to_the_number_with_its_cause(witnessed: StackProcess) -> None:
    since = time.time()
    # The first reading is what the others are held against; what ends around it may be on either side.
    eventually(lambda: last_reading(witnessed) >= since + 0.3, "a reading before the first request")
    before = [witnessed.ask("/orders/health").status for _ in range(5)]
    eventually(lambda: stored(witnessed, since) == 5, "the first records")
    sent = counters(witnessed)["grpc_entries_flushed"]
    # A frozen alslog takes what Envoy sends, and dies before it reads it: no setting of Envoy's helps there.
    alslog = witnessed.pid("alslog")
    assert alslog
    os.kill(alslog, signal.SIGSTOP)
    during = [witnessed.ask(path).status for path in ["/orders/health"] * 7 + ["/nowhere"] * 3]
    eventually(lambda: counters(witnessed)["grpc_entries_flushed"] == sent + 10, "Envoy has sent all")
    os.kill(alslog, signal.SIGKILL)
    eventually(lambda: witnessed.pid("alslog") not in (None, alslog), "alslog is started again")
    after = [witnessed.ask("/orders/health").status for _ in range(5)]
    eventually(lambda: stored(witnessed, since) == 10, "the last records")
    code, rows, said = gaps(witnessed, since)

    assert (before, during, after) == ([200] * 5, [200] * 7 + [404] * 3, [200] * 5)
    assert code == 1
    missing = Counter[str]()
    for row in rows:
        missing[row["finding"]] += row["missing"]
    assert missing == {"decision_without_record": 7, "counters_disagree": 10}, rows
    assert all("alslog, or the connection to it, ended" in row["cause"] for row in rows), rows
    assert all(row["envoy_node"] == "gateledger" for row in rows)
    assert "at least 10 requests have no record" in said


def test_what_a_killed_envoy_took_along_is_told_with_its_cause(witnessed: StackProcess) -> None:
    since = time.time()
    envoy = witnessed.pid("envoy")
    assert envoy

    def held() -> int:
        assert witnessed.ask("/orders/health").status == 200
        now = counters(witnessed)
        return now["logs_written"] - now["grpc_entries_flushed"]

    # Right after a flush it is a quarter of a second to the next one.
    eventually(lambda: held() == 1, "an entry that waits")
    os.kill(envoy, signal.SIGKILL)
    eventually(lambda: witnessed.pid("envoy") not in (None, envoy), "Envoy is started again")
    eventually(lambda: passes(witnessed), "requests pass again")
    code, rows, _ = gaps(witnessed, since)

    assert code == 1
    (row,) = (row for row in rows if row["finding"] == "decision_without_record")
    assert row["missing"] == 1
    assert row["cause"].startswith("Envoy ended before it had sent all that it had logged")


def passes(stack: StackProcess) -> bool:
    try:
        return stack.ask("/orders/health").status == 200
    except (OSError, http.client.HTTPException):
        return False


def test_the_time_of_a_check_is_known_for_denials_and_errors_too(witnessed: StackProcess) -> None:
    allowed = witnessed.row(witnessed.ask("/orders/health").headers["x-request-id"])
    denied = witnessed.row(witnessed.ask("/admin/users").headers["x-request-id"])
    extauthz = witnessed.pid("extauthz")
    assert extauthz
    os.kill(extauthz, signal.SIGSTOP)
    try:
        late = witnessed.row(witnessed.ask("/orders/health").headers["x-request-id"])
    finally:
        os.kill(extauthz, signal.SIGCONT)

    assert ["allow", "deny", "error"] == [row["decision"] for row in (allowed, denied, late)]
    assert all(row["authz_duration_us"] > 0 for row in (allowed, denied))
    # Envoy's limit for a Check is one second.
    assert late["authz_duration_us"] >= 990_000


def test_a_required_audit_keeps_what_it_allows_and_a_stop_in_order_loses_nothing(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    # The counters are read at the start and at the stop alone. There is never room for the journal: more is
    # to be left free than any disk has.
    required = {"GATELEDGER_EXTAUTHZ__AUDIT_REQUIRED": "true", "GATELEDGER_ENVOY__COUNTERS_SECONDS": "600"}
    no_room = {"GATELEDGER_EXTAUTHZ__JOURNAL_RESERVE_BYTES": str(2**60)}
    stack = StackProcess(tmp_path_factory.mktemp("gl") / "home", {**required, **no_room})
    with stack:
        refused = stack.ask("/orders/health")
        row = stack.row(refused.headers["x-request-id"])
        stack.stop()

        assert (refused.status, refused.json()["reason_code"]) == (503, "audit_unavailable")
        assert (row["decision"], row["reason_code"]) == ("error", "audit_unavailable")

        stack.settings = required
        stack.start()
        since = time.time()
        allowed = [stack.ask("/orders/health") for _ in range(30)]
        # What was answered is on disk, whatever dies now.
        kill(stack, "extauthz")
        stopped = stack.stop()
        ended = time.time()
        stack.start()
        code, rows, said = gaps(stack, since, read_since=ended)
        with stack.reader() as client:
            counted = client.query(
                "SELECT max(value) FROM audit.envoy_counters WHERE name = 'http.gate.downstream_rq_completed'"
            ).result_rows

        assert ([answer.status for answer in allowed], stopped) == ([200] * 30, 0)
        assert (code, rows) == (0, []), said
        assert (counted, stored(stack, since)) == ([(30,)], 30)
