"""The commands of people who run a stack, against one that runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
from chserver_process import ChServerProcess
from stack_process import CHOSEN, GATELEDGER, StackProcess, eventually

from gateledger.assets import asset


def test_the_tour_comes_out_as_it_should(tmp_path: Path) -> None:
    environment = {**os.environ, **CHOSEN}
    done = subprocess.run(
        [GATELEDGER, "demo"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "15 of 15 requests have one row each" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_status_tells_what_runs_and_how_far_the_ledger_is(stack: StackProcess) -> None:
    answer = stack.ask("/orders/health")
    row = stack.row(answer.headers["x-request-id"])
    done = stack.run("status", "--format", "json")
    found = json.loads(done.stdout)

    assert done.returncode == 0, done.stderr
    assert {process["name"] for process in found["processes"]} == {
        *("alslog", "chserver", "counters", "envoy", "extauthz", "ledger", "upstream")
    }
    assert all(process["running"] and process["since"] for process in found["processes"])
    assert found["policy_version"] == row["policy_version"]
    assert found["rows_stored"] >= 1
    assert found["clickhouse"]["state"] == "up"


def test_status_for_people_names_every_process(stack: StackProcess) -> None:
    done = stack.run("status")

    assert done.returncode == 0
    assert re.search(r"^envoy +up .* pid \d+ +restarts \d+$", done.stdout, re.MULTILINE), done.stdout
    assert "rows stored" in done.stdout


@pytest.mark.parametrize("command", [["status"], ["token", "alice"]])
def test_a_home_where_nothing_runs_is_said_so(tmp_path: Path, command: list[str]) -> None:
    done = StackProcess(tmp_path).run(*command)

    assert done.returncode == 2
    assert str(tmp_path) in done.stderr
    assert "gateledger up" in done.stderr


def test_a_token_with_a_lifetime_that_is_none_is_refused(stack: StackProcess) -> None:
    done = stack.run("token", "alice", "--ttl", "soon")

    assert done.returncode == 2
    assert "'soon'" in done.stderr
    assert "15m" in done.stderr


def test_a_refusal_is_in_the_ledger_with_subject_reason_and_policy_version(stack: StackProcess) -> None:
    answer = stack.ask("/admin/users", token=stack.token("alice", "customer"))
    decision = answer.headers["x-decision-id"]

    def refused() -> dict[str, object] | None:
        rows = json.loads(stack.run("audit", "denied", "--since", "5m", "--format", "json").stdout)
        return next((row for row in rows if row["decision_id"] == decision), None)

    row = eventually(refused, "the refusal in `audit denied`", 20)
    assert (row["subject"], row["reason_code"], row["rule"]) == ("alice", "no_matching_rule", "")
    assert re.fullmatch("[0-9a-f]{64}", str(row["policy_version"]))


def test_the_running_bootstrap_is_fine_to_envoy_and_a_broken_one_is_not(stack: StackProcess) -> None:
    running = stack.home / "run" / "envoy.json"
    broken = stack.home / "broken.json"
    broken.write_text(running.read_text().replace('"failure_mode_allow"', '"failure_mode_alow"'))

    assert stack.run("envoy", "validate", str(running)).returncode == 0
    refused = stack.run("envoy", "validate", str(broken))
    assert refused.returncode == 1
    assert "failure_mode_alow" in refused.stderr
    assert stack.run("envoy", "validate", "nowhere.json").returncode == 2


def test_the_schema_is_reported_as_applied(stack: StackProcess) -> None:
    done = stack.run("db", "status")

    assert done.returncode == 0, done.stderr
    assert "0002_access_log.sql" in done.stdout


def test_a_changed_policy_decides_and_a_broken_one_never(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    base = tmp_path_factory.mktemp("gl")
    policy = base / "policy.csv"
    shipped = asset("policies/policy.csv").read_text()
    policy.write_text(shipped)
    with StackProcess(base / "home", {"GATELEDGER_EXTAUTHZ__POLICY": str(policy)}) as stack:
        token = stack.token("alice", "customer")
        before = stack.ask("/orders/1", token=token)

        beside = base / "policy.new"
        beside.write_text(shipped + "p, alice, orders, /orders/1, GET, deny\n")
        beside.rename(policy)
        eventually(lambda: stack.ask("/orders/1", token=token).status == 403, "the new rule decides")
        # In place this time, as some editors do.
        policy.write_text(shipped + "p, alice, orders, /orders/2, GET, dny\n")
        eventually(
            lambda: "dny" in (stack.home / "log" / "extauthz.log").read_text(), "the broken file is refused"
        )
        after = stack.ask("/orders/1", token=token)
        row = stack.row(after.headers["x-request-id"])
        with stack.reader() as client:
            versions = client.query("SELECT policy_version FROM audit.policies").result_rows

    assert before.status == 200
    assert after.status == 403
    assert row["rule"] == "p, alice, orders, /orders/1, GET, deny"
    assert (row["policy_version"],) in versions
    assert len(versions) == 2


def test_a_server_of_ones_own_is_used_and_may_be_away_at_the_start(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    base = tmp_path_factory.mktemp("gl")
    server = ChServerProcess(base / "server")
    server.password_file.parent.mkdir(parents=True)
    server.password_file.write_text("of-ones-own\n")
    settings = {
        "GATELEDGER_CLICKHOUSE__URL": server.url,
        "GATELEDGER_CLICKHOUSE__WRITER_PASSWORD_FILE": str(server.password_file),
        "GATELEDGER_LEDGER__RETRY_MAX_SECONDS": "0.3",
    }
    with StackProcess(base / "home", settings) as stack:
        answer = stack.ask("/orders/health")
        assert answer.status == 200
        assert "chserver" not in stack.ready["pids"]
        assert stack.run("audit", "denied").returncode == 2

        with server:
            eventually(
                lambda: '"up"' in stack.run("status", "--format", "json").stdout, "the writer connects"
            )
            assert stack.ready["clickhouse"] == server.url
            assert stack.row(answer.headers["x-request-id"])["decision"] == "allow"
            eventually(lambda: not status(stack)["bytes_waiting"], "all is stored")
            before = status(stack)

        # Away for a while: what comes waits, and whoever looks sees how much, since when and why.
        answers = [stack.ask("/orders/health") for _ in range(5)]
        eventually(lambda: status(stack)["clickhouse"]["state"] == "down", "the outage is told")
        eventually(lambda: status(stack)["waiting"].get("entries"), "the entries wait")
        during, metrics = status(stack), alslog_metrics(stack)
        with server:
            for each in answers:
                stack.row(each.headers["x-request-id"])
            eventually(lambda: not status(stack)["bytes_waiting"], "all is stored again")
            eventually(lambda: status(stack)["clickhouse"]["state"] == "up", "its end is told")
            after, drained = status(stack), alslog_metrics(stack)

        assert [each.status for each in answers] == [200] * 5
        assert (during["rows_stored"], during["dropped"]) == (before["rows_stored"], {})
        assert during["oldest_waiting_seconds"] > 0
        assert server.url in during["last_error"]
        assert (metrics["spool_segments"] > 0, metrics["spool_bytes"] > 0) == (True, True)
        assert metrics["oldest_unstored_seconds"] > 0
        assert (after["rows_stored"], after["last_error"]) == (before["rows_stored"] + 5, None)
        assert (drained["spool_bytes"], drained["oldest_unstored_seconds"]) == (0, 0)
        assert (drained["entries_total"], drained["paused"]) == (6, 0)


def status(stack: StackProcess) -> dict[str, Any]:
    return json.loads(stack.run("status", "--format", "json").stdout)


def alslog_metrics(stack: StackProcess) -> dict[str, float]:
    """Figures of alslog without labels, by what follows `gateledger_als_`."""
    text = httpx.get(f"{stack.ready['metrics']['alslog']}/metrics", trust_env=False).text
    found = re.findall(r"^gateledger_als_(\w+) (\S+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in found}
