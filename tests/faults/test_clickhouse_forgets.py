"""ClickHouse that has forgotten a token, lost a part, or whose view throws: the count finds it out."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from chserver_process import ChServerProcess
from clickhouse_connect.driver.client import Client
from ledger_entries import batch_of, payload_of, select
from ledger_process import LedgerProcess, fill, origin, wait_until
from set_checker import SetChecker, entry

from ledger import insert, verify
from ledger.migrate import migrate
from ledger.plan import Batch, Load
from ledger.store import Store

pytestmark = pytest.mark.faults


@pytest.fixture
def own(tmp_path: Path) -> Iterator[ChServerProcess]:
    """A ClickHouse that a test may ruin."""
    with ChServerProcess(tmp_path / "own") as running:
        migrate(running.writer_client())
        yield running


def promised(checker: SetChecker, count: int = 20) -> Batch:
    paths = checker.new(count)
    checker.accept(paths)
    return batch_of(*map(entry, paths), node=checker.node)


def test_a_deduplication_log_that_is_lost_before_the_retry_doubles_nothing(
    own: ChServerProcess, checker: SetChecker, tmp_path: Path
) -> None:
    load = Load((promised(checker),))
    insert.insert(own.writer_client(), load, load.token)
    own.stop()
    logs = list((own.home / "clickhouse").rglob("deduplication_logs"))
    assert logs
    for each in logs:
        shutil.rmtree(each)
    own.start()

    Store(own.writer_client(), tmp_path / "q").load(load)

    checker.check(own.writer_client())


def test_a_deduplication_window_that_is_overrun_doubles_nothing(
    own: ChServerProcess, checker: SetChecker, tmp_path: Path
) -> None:
    client = own.writer_client()
    client.command("ALTER TABLE audit.access_log MODIFY SETTING non_replicated_deduplication_window = 1")
    first = Load((promised(checker),))
    insert.insert(client, first, first.token)
    store = Store(client, tmp_path / "q")
    for _ in range(3):
        store.load(Load((promised(checker),)), tried=False)

    store.load(first)

    checker.check(client)


def test_a_part_that_is_lost_while_its_segment_is_held_is_stored_again(
    server: ChServerProcess, client: Client, checker: SetChecker, tmp_path: Path
) -> None:
    # Long enough for a machine that deletes slowly: what is lost after the hold is lost.
    ledger = LedgerProcess(tmp_path, server.url, server.password_file, hold_seconds=12)
    paths = checker.new(30)
    checker.accept(paths)
    fill(ledger.spool, (origin(node=checker.node), payload_of(*map(entry, paths))))
    rows = f"SELECT count()::UInt32 AS n FROM audit.access_log WHERE envoy_node = '{checker.node}'"

    with ledger:
        wait_until(lambda: select(client, rows) == [{"n": 30}], "the first time")
        client.command(
            f"DELETE FROM audit.access_log WHERE envoy_node = '{checker.node}'",
            settings={"mutations_sync": 2},
        )
        ledger.drained()

    checker.check(client)


def test_a_view_of_somebody_elses_that_throws_is_told_and_each_row_is_stored_once(
    own: ChServerProcess, checker: SetChecker, tmp_path: Path
) -> None:
    client = own.writer_client()
    client.command(
        "CREATE TABLE audit.mine (path String) ENGINE = MergeTree ORDER BY path "
        "SETTINGS non_replicated_deduplication_window = 100"
    )
    view = "CREATE MATERIALIZED VIEW audit.to_mine TO audit.mine AS SELECT {} AS path FROM audit.access_log"
    client.command(view.format("if(throwIf(1) = 0, url_path, '')"))
    ledger = LedgerProcess(tmp_path / "home", own.url, own.password_file, retry_max_seconds=0.1)
    paths = checker.new(30)
    checker.accept(paths)
    fill(ledger.spool, (origin(node=checker.node), payload_of(*map(entry, paths))))

    with ledger:
        wait_until(lambda: "throwIf" in str(ledger.status.get("last_error")), "the error to be told")
        assert 1 == ledger.waiting()
        client.command("DROP VIEW audit.to_mine")
        client.command(view.format("url_path"))
        ledger.drained()

    checker.check(client)
    # The rows were in audit.access_log when the view threw, and are not sent again: such a view is not
    # complete any more (docs/guarantees.md), but nothing is in it twice.
    (mine,) = select(client, "SELECT count()::UInt32 AS n, uniqExact(path)::UInt32 AS u FROM audit.mine")
    assert mine["n"] == mine["u"]


def test_a_schema_change_takes_effect_at_the_edge_of_a_batch(
    own: ChServerProcess, checker: SetChecker, tmp_path: Path
) -> None:
    client = own.writer_client()
    ledger = LedgerProcess(tmp_path / "home", own.url, own.password_file)
    with ledger:
        for number in range(6):
            paths = checker.new(10)
            checker.accept(paths)
            fill(ledger.spool, (origin(node=checker.node), payload_of(*map(entry, paths))))
            if number == 2:
                client.command("ALTER TABLE audit.access_log ADD COLUMN later String DEFAULT 'new'")
        ledger.drained()

    checker.check(client)
    digests = "SELECT uniqExact(rows_digest)::UInt32 AS n, count()::UInt32 AS b FROM audit.batches"
    (found,) = select(client, digests)
    assert found["n"] == found["b"]
    day = timedelta(days=1)
    now = datetime.now(UTC)
    # The digest is of the columns that there were: a new one changes none.
    assert verify.find(client, now - day, now + day, lambda _: None) == verify.Verified((), found["b"], 60)
