"""`gateledger status --format csv`: every value of the object, on a line of its own, with the way to it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateledger.cli.commands import cli
from gateledger.cli.status import named_values

# The package has the command under this name.
module = sys.modules["gateledger.cli.status"]


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


def test_status_has_the_formats_of_every_other_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    found = {"proxy": "http://127.0.0.1:1", "processes": [{"name": "envoy", "running": False}], "ready": {}}
    monkeypatch.setattr(module, "read_ready", lambda _: {})
    monkeypatch.setattr(module, "collect", lambda *_: found)

    said = CliRunner().invoke(cli, ["status", "--home", str(tmp_path), "--format", "csv"])

    assert 1 == said.exit_code, said.output
    assert [
        "name,value",
        "proxy,http://127.0.0.1:1",
        "processes.envoy.name,envoy",
        "processes.envoy.running,false",
    ] == said.stdout.splitlines()
