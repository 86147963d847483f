"""Services that stand still, and a policy that is refused: requests are decided all the same, no row is lost."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
from hostile_run import Run
from hostile_stack import HostileStack
from stack_process import eventually


@contextlib.contextmanager
def frozen(stack: HostileStack, name: str) -> Iterator[None]:
    """The process stands still while the block runs."""
    pid = stack.stack.pid(name)
    assert pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def metric(stack: HostileStack, service: str, line: str) -> float:
    """The value of the first sample that begins so; 0 without one."""
    text = httpx.get(f"{stack.stack.ready['metrics'][service]}/metrics", trust_env=False).text
    found = (row.rpartition(" ")[2] for row in text.splitlines() if row.startswith(line))
    return float(next(found, 0))


def statuses(stack: HostileStack, marker: str, count: int = 5) -> list[int]:
    """What a client sees of allowed requests."""
    return [
        stack.stack.ask("/orders/health", headers={"user-agent": f"{marker}-{n}"}).status
        for n in range(count)
    ]


def rows(stack: HostileStack, marker: str) -> Callable[[], list[str] | None]:
    """All five rows, once they are there."""
    return lambda: (
        found if len(found := [row["reason_code"] for row in stack.stack.rows_of(marker)]) >= 5 else None
    )


def test_while_alslog_stands_still_requests_pass_and_their_rows_come_later(
    hostile: HostileStack, done: Run
) -> None:
    before = metric(hostile, "alslog", "gateledger_als_entries_total")
    with frozen(hostile, "alslog"):
        seen = statuses(hostile, "frozen-alslog")

    assert seen == [200] * 5
    assert eventually(rows(hostile, "frozen-alslog"), "five rows") == ["rule_allow"] * 5
    assert metric(hostile, "alslog", "gateledger_als_entries_total") >= before + 5


def test_while_clickhouse_stands_still_requests_pass_and_their_rows_wait(
    hostile: HostileStack, done: Run
) -> None:
    hostile.settled()
    taken = metric(hostile, "alslog", "gateledger_als_entries_total")
    stored = metric(hostile, "alslog", "gateledger_als_stored_total")
    with frozen(hostile, "chserver"):
        seen = statuses(hostile, "frozen-clickhouse")
        eventually(
            lambda: metric(hostile, "alslog", "gateledger_als_entries_total") >= taken + 5,
            "five entries on disk",
        )
        eventually(
            lambda: metric(hostile, "alslog", "gateledger_als_oldest_unstored_seconds") > 0,
            "they wait, and it shows",
        )

    assert seen == [200] * 5
    assert eventually(rows(hostile, "frozen-clickhouse"), "five rows") == ["rule_allow"] * 5
    eventually(
        lambda: metric(hostile, "alslog", "gateledger_als_stored_total") >= stored + 5, "the metric says so"
    )


def test_a_policy_that_is_refused_at_reload_changes_nothing_and_is_counted(
    hostile: HostileStack, done: Run
) -> None:
    refused = 'gateledger_policy_reloads_total{result="refused"}'
    before, good = metric(hostile, "extauthz", refused), hostile.policy.read_bytes()
    version = hostile.stack.rows("decision = 'allow' AND policy_version != ''")[-1]["policy_version"]
    try:
        _put(hostile, b"p, broken\n")
        eventually(lambda: metric(hostile, "extauthz", refused) > before, "the policy is refused")
        seen = statuses(hostile, "refused-policy")
        found = eventually(rows(hostile, "refused-policy"), "five rows")
        ready = httpx.get(f"{hostile.stack.ready['metrics']['extauthz']}/readyz", trust_env=False)
    finally:
        _put(hostile, good)

    assert seen == [200] * 5
    assert found == ["rule_allow"] * 5
    assert {row["policy_version"] for row in hostile.stack.rows_of("refused-policy")} == {version}
    assert ready.status_code == 200
    assert "policy.csv:1" in ready.text


def test_an_extauthz_that_dies_while_it_decides_is_a_503_and_an_error_row(
    hostile: HostileStack, done: Run
) -> None:
    hostile.settled()
    errors, active = "http.gate.ext_authz.error", "cluster.extauthz.upstream_rq_active"
    before = hostile.counters(f"^{errors}$")[errors]
    pid = hostile.stack.pid("extauthz")
    assert pid
    os.kill(pid, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(hostile.stack.ask, "/orders/health", headers={"user-agent": "killed-extauthz"})
        eventually(lambda: hostile.counters(f"^{active}$")[active] or asked.done(), "the Check is on its way")
        os.kill(pid, signal.SIGKILL)
        answer = asked.result()
    row = hostile.stack.row(answer.headers["x-request-id"])
    eventually(lambda: hostile.stack.ask("/orders/health").status == 200, "requests pass again")

    assert answer.status == 503
    assert (row["decision"], row["reason_code"]) == ("error", "authz_timeout_or_unreachable")
    assert row["upstream_address"] == ""
    assert hostile.counters(f"^{errors}$")[errors] > before


def _put(stack: HostileStack, text: bytes) -> None:
    beside = stack.policy.with_suffix(".new")
    beside.write_bytes(text)
    beside.rename(stack.policy)
