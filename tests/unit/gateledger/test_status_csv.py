"""`gateledger status --format csv`: every value of the object, on a line of its own, with the way to it."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path

from click.testing import CliRunner

from gateledger.cli.commands import cli
from gateledger.cli.status import named_values


def test_every_value_has_the_way_to_it():
    found = {
        "proxy": "http://127.0.0.1:1",
        "clickhouse": {"url": "u", "state": "up"},
        "processes": [{"name": "envoy", "pids": [7, 8], "running": True}],
        "policy_refused": None,
        "dropped": {},
    }

    assert [
        ("proxy", "http://127.0.0.1:1"),
        ("clickhouse.url", "u"),
        ("clickhouse.state", "up"),
        ("processes.envoy.name", "envoy"),
        ("processes.envoy.pids.0", 7),
        ("processes.envoy.pids.1", 8),
        ("processes.envoy.running", True),
        ("policy_refused", None),
    ] == list(named_values(found))


def test_status_has_the_formats_of_every_other_command(tmp_path: Path):
    ready = {
        "proxy": "http://127.0.0.1:1",
        "clickhouse": "http://127.0.0.1:2",
        "metrics": {"extauthz": "http://127.0.0.1:3", "alslog": "http://127.0.0.1:3"},
        "envoy_admin": f"unix:{tmp_path}/none",
        "pids": {"envoy": None},
        "started_at": {},
        "restarts": {},
    }
    (tmp_path / "run").mkdir(mode=0o700)
    (tmp_path / "run" / "ready.json").write_text(json.dumps(ready), encoding="utf-8")

    with (tmp_path / "run" / "lock").open("w") as lock:
        # As a stack that runs does.
        fcntl.flock(lock, fcntl.LOCK_EX)
        said = CliRunner().invoke(cli, ["status", "--home", str(tmp_path), "--format", "csv"])

    assert 1 == said.exit_code, said.output
    assert said.stdout.startswith("name,value\r\nproxy,http://127.0.0.1:1\r\n")
    assert "processes.envoy.running,false\r\n" in said.stdout
