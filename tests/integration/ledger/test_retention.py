"""`gateledger db retain` on the real engine: old partitions go, each on the record, and nothing else."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from chserver_process import ChServerProcess
from click.testing import CliRunner, Result
from clickhouse_connect.driver.client import Client
from ledger_entries import select

from gateledger.cli.commands import cli
from ledger.retention import TABLES


@pytest.fixture
def old(client: Client) -> datetime:
    """Rows of each table ninety days ago, and of now."""
    client.command("TRUNCATE TABLE audit.removals")
    for table, column in TABLES.items():
        client.command(f"TRUNCATE TABLE audit.{table}")
        more = ", batch" if table == "access_log" else ""
        value = ", 'b'" if table == "access_log" else ""
        for days in (90, 0):
            client.command(
                f"INSERT INTO audit.{table} ({column}{more}) SELECT now64(6) - toIntervalDay({days}){value} FROM numbers(3)",
                settings={"async_insert": 0},
            )
    return datetime.now(UTC) - timedelta(days=90)


def retain(server: ChServerProcess, tmp_path: Path, *arguments: str) -> Result:
    config = tmp_path / "gateledger.json"
    section = {"url": server.url, "writer_password_file": str(server.password_file)}
    config.write_text(json.dumps({"clickhouse": section, "home": str(tmp_path)}))
    return CliRunner().invoke(cli, ["db", "retain", "--config", str(config), "--format", "json", *arguments])


def rows(client: Client) -> dict[str, int]:
    return {table: client.query(f"SELECT count() FROM audit.{table}").result_rows[0][0] for table in TABLES}


def removals(client: Client) -> list[dict[str, Any]]:
    return select(client, "SELECT * FROM audit.removals ORDER BY table_name, action")


def test_what_is_older_goes_and_is_on_the_record(
    server: ChServerProcess, client: Client, tmp_path: Path, old: datetime
) -> None:
    done = retain(server, tmp_path, "--days", "60")
    booked = removals(client)

    assert done.exit_code == 0, done.output
    assert {(row["table"], row["rows"]) for row in json.loads(done.stdout)} == {
        (table, 3) for table in TABLES
    }
    assert rows(client) == dict.fromkeys(TABLES, 3)
    assert [(table, action) for table in sorted(TABLES) for action in ("begun", "dropped")] == [
        (row["table_name"], row["action"]) for row in booked
    ]
    for row in booked:
        assert (row["rows"], row["days"]) == (3, 60)
        assert row["last_received_at"].startswith(f"{old:%Y-%m-%d}")
        assert "@" in row["run_by"]


def test_a_dry_run_says_it_and_removes_nothing(
    server: ChServerProcess, client: Client, tmp_path: Path, old: datetime
) -> None:
    done = retain(server, tmp_path, "--days", "60", "--table", "access_log", "--dry-run", "--ttl")

    assert [("access_log", 3)] == [(row["table"], row["rows"]) for row in json.loads(done.stdout)]
    assert "3 rows would be removed" in done.stderr
    assert rows(client) == dict.fromkeys(TABLES, 6)
    assert removals(client) == []


def test_a_partition_with_one_younger_row_stays(
    server: ChServerProcess, client: Client, tmp_path: Path, old: datetime
) -> None:
    done = retain(server, tmp_path, "--days", "91")

    assert json.loads(done.stdout) == []
    assert rows(client) == dict.fromkeys(TABLES, 6)


def test_a_standing_order_is_set_and_booked(
    server: ChServerProcess, client: Client, tmp_path: Path, old: datetime
) -> None:
    done = retain(server, tmp_path, "--days", "3650", "--table", "unparsed", "--ttl")
    (made,) = select(client, "SELECT create_table_query AS sql FROM system.tables WHERE name = 'unparsed'")

    assert done.exit_code == 0, done.output
    assert "TTL toDateTime(received_at) + toIntervalDay(3650)" in made["sql"]
    assert [("unparsed", "ttl", 3650)] == [
        (row["table_name"], row["action"], row["days"]) for row in removals(client)
    ]
