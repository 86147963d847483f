"""`gateledger db retain` on the real engine: old partitions go, each on the record, and nothing else."""

from __future__ import annotations

import json
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from chserver_process import ChServerProcess
from click.testing import CliRunner, Result
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError
from ledger_entries import select

from gateledger.cli.commands import cli
from ledger import retention
from ledger.keeping import Keeping
from ledger.retention import TABLES

BATCHES_WITHOUT_ROWS = """
SELECT
    batch,
    rows - (SELECT count() FROM audit.access_log WHERE batch = {batch:String}) AS missing,
    toString(toDate(received_at)) IN (
        SELECT partition FROM audit.removals WHERE table_name = 'access_log' AND action = 'dropped') AS removed
FROM audit.batches WHERE batch = {batch:String} AND missing > 0
"""


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


@pytest.fixture
def stored_old(client: Client) -> str:
    """A batch of two rows ninety days ago, as the writer books it."""
    batch = f"old-{uuid.uuid4()}"
    for sql in (
        "INSERT INTO audit.access_log (received_at, batch) SELECT now64(6) - toIntervalDay(90), {batch:String} FROM numbers(2)",
        "INSERT INTO audit.batches (received_at, batch, rows) SELECT now64(6) - toIntervalDay(90), {batch:String}, 2",
    ):
        client.command(sql, parameters={"batch": batch}, settings={"async_insert": 0})
    return batch


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


def test_a_standing_order_is_booked_and_carried_out_on_the_record(
    server: ChServerProcess, client: Client, tmp_path: Path, old: datetime
) -> None:
    # As an earlier version did: an order to ClickHouse itself.
    client.command("ALTER TABLE audit.unparsed MODIFY TTL toDateTime(received_at) + toIntervalDay(3650)")
    done = retain(server, tmp_path, "--days", "3650", "--table", "unparsed", "--table", "access_log", "--ttl")
    in_ten_years = datetime.now(UTC) + timedelta(days=3600)
    removed = retention.keep(client, in_ten_years, "ledger@here")
    (made,) = select(client, "SELECT create_table_query AS sql FROM system.tables WHERE name = 'unparsed'")

    assert done.exit_code == 0, done.output
    assert "TTL" not in made["sql"]
    assert {"unparsed": 3650, "access_log": 3650} == retention.orders(client)
    assert {("access_log", 3), ("unparsed", 3)} == {(each.table, each.rows) for each in removed}
    assert [
        *(("access_log", action, 3650) for action in ("begun", "dropped", "ttl")),
        *(("unparsed", action, 3650) for action in ("begun", "dropped", "ttl")),
    ] == [(row["table_name"], row["action"], row["days"]) for row in removals(client)]
    assert rows(client) == {"access_log": 3, "decision_log": 6, "envoy_counters": 6, "unparsed": 3}


def test_an_order_that_was_taken_back_is_not_carried_out(
    server: ChServerProcess, client: Client, tmp_path: Path, old: datetime
) -> None:
    retain(server, tmp_path, "--days", "3650", "--table", "unparsed", "--ttl")
    retain(server, tmp_path, "--days", "3650", "--table", "unparsed", "--no-ttl")

    assert {} == retention.orders(client)
    assert [] == retention.keep(client, datetime.now(UTC) + timedelta(days=3600), "ledger@here")
    assert rows(client) == dict.fromkeys(TABLES, 6)


def test_a_removal_that_was_cut_off_before_it_was_booked_as_done_is_booked_later(
    client: Client, old: datetime
) -> None:
    begun = retention.due(client, ("access_log", "unparsed"), 60, datetime.now(UTC))
    for each in begun:
        retention.book(client, each, "begun", 60, "cli@here")
    client.command(
        "ALTER TABLE audit.access_log DROP PARTITION {day:String}", parameters={"day": begun[0].partition}
    )
    for _ in range(2):
        retention.settle(client, "ledger@here")

    assert [
        ("access_log", "begun", begun[0].rows, begun[0].partition),
        ("access_log", "dropped", begun[0].rows, begun[0].partition),
        ("unparsed", "begun", begun[1].rows, begun[1].partition),
    ] == [(row["table_name"], row["action"], row["rows"], row["partition"]) for row in removals(client)]


def test_every_batch_has_its_rows_or_they_were_removed_on_the_record(
    client: Client, old: datetime, stored_old: str
) -> None:
    retention.order(client, "access_log", 60, "cli@here")
    retention.keep(client, datetime.now(UTC), "ledger@here")

    claimed = client.query(BATCHES_WITHOUT_ROWS, parameters={"batch": stored_old}).result_rows

    assert [(stored_old, 2, True)] == claimed


def test_the_writer_carries_out_a_standing_order_while_it_runs(
    server: ChServerProcess, client: Client, tmp_path: Path, old: datetime
) -> None:
    retention.order(client, "unparsed", 60, "cli@here")
    stop = threading.Event()
    keeping = Keeping(server.writer_client, stop, structlog.get_logger(), 0.01)

    keeping.start()
    deadline = time.monotonic() + 60
    while not any(row["action"] == "dropped" for row in removals(client)) and time.monotonic() < deadline:
        time.sleep(0.01)
    stop.set()
    keeping.join(30)

    assert [("ttl", 0), ("begun", 3), ("dropped", 3)] == [
        (row["action"], row["rows"])
        for row in select(client, "SELECT * FROM audit.removals ORDER BY removed_at, action")
    ]


def test_a_clickhouse_that_is_away_is_asked_again_and_is_the_writers_to_tell() -> None:
    stop = threading.Event()
    tries = 0

    def refused() -> Client:
        nonlocal tries
        tries += 1
        if tries == 3:
            stop.set()
        raise ConnectionRefusedError("refused")

    with structlog.testing.capture_logs() as lines:
        keeping = Keeping(refused, stop, structlog.get_logger(), 0.01)
        keeping.start()
        keeping.join(30)

    assert ([], 3) == (lines, tries)


def test_orders_that_cannot_be_carried_out_are_told_once_and_tried_again(
    server: ChServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = threading.Event()
    tries = 0

    def refused(*_: object) -> list[retention.Removal]:
        nonlocal tries
        tries += 1
        if tries == 3:
            stop.set()
        raise DatabaseError("Code: 497. Not enough privileges")

    monkeypatch.setattr(retention, "keep", refused)
    with structlog.testing.capture_logs() as lines:
        keeping = Keeping(server.writer_client, stop, structlog.get_logger(), 0.01)
        keeping.start()
        keeping.join(30)

    assert (["retention.failed"], 3) == ([str(line["event"]) for line in lines], tries)
