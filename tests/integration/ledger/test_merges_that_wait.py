"""Merges may wait while inserts take all processors, and only so long: parts that wait slow inserts down."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from chserver_process import ChServerProcess
from clickhouse_connect.driver.client import Client

from ledger.migrate import migrate

# As the schema says; ClickHouse refuses INSERTs at twenty times as many.
MOST = 150
DELAYED = "SELECT sum(value) FROM system.events WHERE event = 'DelayedInserts'"
WRITTEN_BY_THE_LEDGER = {
    "access_log": "INSERT INTO audit.access_log (received_at, batch, batch_row) VALUES ('2026-01-02 00:00:00', 'b', {})",
    "batches": "INSERT INTO audit.batches (received_at, batch, rows) VALUES ('2026-01-02 00:00:00', 'b', {})",
    "decision_log": "INSERT INTO audit.decision_log (received_at, batch, batch_row) VALUES ('2026-01-02 00:00:00', 'b', {})",
}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A server of its own: others' inserts would be counted, and others' merges stopped."""
    with ChServerProcess(tmp_path_factory.mktemp("merges")) as server:
        client = server.writer_client()
        migrate(client)
        yield client
        client.close()


def parts(client: Client, table: str) -> int:
    asked = f"SELECT count() FROM system.parts WHERE database = 'audit' AND table = '{table}' AND active"
    return int(client.query(asked).first_row[0])


def delays(client: Client) -> int:
    """How often an INSERT had to wait; one may be counted more than once."""
    return int(client.query(DELAYED).first_row[0])


@pytest.mark.parametrize("table", WRITTEN_BY_THE_LEDGER)
def test_inserts_wait_for_merges_before_parts_are_many_and_no_longer_than_that(
    own: Client, table: str
) -> None:
    insert = WRITTEN_BY_THE_LEDGER[table]
    own.command(f"ALTER TABLE audit.{table} MODIFY SETTING fsync_after_insert = 0, fsync_part_directory = 0")
    own.command(f"SYSTEM STOP MERGES audit.{table}")
    before = delays(own)
    for number in range(MOST):
        own.command(insert.format(number), settings={"async_insert": 0})
    at_the_limit = delays(own)
    own.command(insert.format(MOST), settings={"async_insert": 0})
    beyond = delays(own)
    own.command(f"SYSTEM START MERGES audit.{table}")
    deadline = time.monotonic() + 60
    # Merges run when a processor is idle, and tell nobody when they are done.
    while parts(own, table) >= MOST // 2:
        assert time.monotonic() < deadline, parts(own, table)
        time.sleep(0.05)
    own.command(insert.format(MOST + 1), settings={"async_insert": 0})

    assert before == at_the_limit < beyond == delays(own)
    assert MOST + 2 == own.query(f"SELECT count() FROM audit.{table}").first_row[0]
