"""Merges may wait while inserts take all processors, and only so long: parts that wait slow inserts down."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from chserver_process import ChServerProcess
from clickhouse_connect.driver.client import Client

from ledger.migrate import migrate

# As the schema says; ClickHouse refuses INSERTs at ten times as many.
MOST = 300
DELAYED = "SELECT sum(value) FROM system.events WHERE event = 'DelayedInserts'"
INSERT = (
    "INSERT INTO audit.access_log (received_at, batch, batch_row) VALUES ('2026-01-02 00:00:00', 'b', {})"
)
PARTS = "SELECT count() FROM system.parts WHERE database = 'audit' AND table = 'access_log' AND active"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A server of its own: others' inserts would be counted, and others' merges stopped."""
    with ChServerProcess(tmp_path_factory.mktemp("merges")) as server:
        client = server.writer_client()
        migrate(client)
        yield client
        client.close()


def count(client: Client, sql: str) -> int:
    return int(client.query(sql).first_row[0])


def insert(client: Client, number: int) -> None:
    client.command(INSERT.format(number), settings={"async_insert": 0})


@pytest.mark.parametrize("table", ["access_log", "batches", "decision_log"])
def test_every_table_that_each_load_adds_a_part_to_has_the_limit(own: Client, table: str) -> None:
    made = own.query(
        f"SELECT create_table_query FROM system.tables WHERE database = 'audit' AND name = '{table}'"
    )
    text = made.first_row[0]

    for setting in (
        f"parts_to_delay_insert = {MOST}",
        "min_delay_to_insert_ms = 250",
        "parts_to_throw_insert = 3000",
    ):
        assert setting in text


def test_inserts_wait_for_merges_once_parts_are_many_and_no_longer_than_that(own: Client) -> None:
    # Three hundred fsyncs would be all that this test takes time for.
    own.command(
        "ALTER TABLE audit.access_log MODIFY SETTING fsync_after_insert = 0, fsync_part_directory = 0"
    )
    own.command("SYSTEM STOP MERGES audit.access_log")
    before = count(own, DELAYED)
    # A part for each block, and a block for each row.
    own.command(
        "INSERT INTO audit.access_log (received_at, batch, batch_row) "
        f"SELECT toDateTime64('2026-01-02 00:00:00', 6, 'UTC'), 'b', number FROM numbers({MOST})",
        settings={"async_insert": 0, "max_block_size": 1, "max_insert_block_size": 1, "max_insert_threads": 1}
        | {"min_insert_block_size_rows": 1, "min_insert_block_size_bytes": 0},
    )
    at_the_limit = count(own, DELAYED)
    waiting = count(own, PARTS)
    insert(own, MOST)
    # One wait may be counted more than once.
    beyond = count(own, DELAYED)
    own.command("SYSTEM START MERGES audit.access_log")
    # Long, for on a machine that is busy otherwise they get less than a hundredth of a processor.
    deadline = time.monotonic() + 150
    while count(own, PARTS) >= MOST // 2:
        assert time.monotonic() < deadline, count(own, PARTS)
        time.sleep(0.05)  # Merges tell nobody when they are done; one has to look.
    insert(own, MOST + 1)

    assert MOST == waiting
    assert before == at_the_limit < beyond == count(own, DELAYED)
    assert MOST + 2 == count(own, "SELECT count() FROM audit.access_log")
