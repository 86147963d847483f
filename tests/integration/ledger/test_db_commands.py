"""`gateledger db migrate` and `db status` against a real chserver."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from chserver_process import ChServerProcess
from click.testing import CliRunner, Result
from ports import free_port

from gateledger.cli.db import db


def run(tmp_path: Path, url: str, password_file: Path, *arguments: str) -> Result:
    config = tmp_path / "db.yaml"
    section = {"url": url, "writer_password_file": str(password_file)}
    config.write_text(json.dumps({"clickhouse": section}))
    assert isinstance(db, click.Group)
    return CliRunner().invoke(db, [*arguments, "--config", str(config), "--home", str(tmp_path)])


def test_the_schema_is_applied_once_and_its_state_shown(tmp_path: Path) -> None:
    with ChServerProcess(tmp_path / "clickhouse") as server:
        fresh = run(tmp_path, server.url, server.password_file, "status", "--format", "json")
        first = run(tmp_path, server.url, server.password_file, "migrate")
        second = run(tmp_path, server.url, server.password_file, "migrate")
        done = run(tmp_path, server.url, server.password_file, "status", "--format", "json")

    assert (1, {"pending"}) == (fresh.exit_code, {row["state"] for row in json.loads(fresh.stdout)})
    assert 0 == first.exit_code
    assert "applied 0001_database.sql\n" in first.stdout
    assert (0, "nothing to apply: the schema is up to date\n") == (second.exit_code, second.stdout)
    assert (0, {"applied"}) == (done.exit_code, {row["state"] for row in json.loads(done.stdout)})


def test_an_applied_file_that_changed_is_refused(
    server: ChServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ledger import migrate

    ours = migrate.migrations()
    changed = (migrate.Migration(ours[0].name, ours[0].sql + "-- a touch\n"), *ours[1:])
    monkeypatch.setattr(migrate, "migrations", lambda: changed)

    refused = run(tmp_path, server.url, server.password_file, "migrate")
    shown = run(tmp_path, server.url, server.password_file, "status", "--format", "json")

    assert 2 == refused.exit_code
    assert "0001_database.sql: not the file that was applied" in refused.stderr
    assert (1, "changed") == (shown.exit_code, json.loads(shown.stdout)[0]["state"])


@pytest.mark.parametrize("command", ["migrate", "status"])
def test_what_cannot_be_reached_is_said_in_one_line(
    server: ChServerProcess, tmp_path: Path, command: str
) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("wrong")
    nowhere = run(tmp_path, f"http://127.0.0.1:{free_port()}", wrong, command)
    stranger = run(tmp_path, server.url, wrong, command)
    unreadable = run(tmp_path, server.url, tmp_path / "none", command)

    for each, hint in (
        (nowhere, "is ClickHouse up there"),
        (stranger, "writer's credentials right?"),
        (unreadable, "writer_password_file"),
    ):
        assert 2 == each.exit_code, each.output
        assert each.stderr.count("\n") == 1
        assert hint in each.stderr
