"""The suite has teeth: with the token or the check switched off, the checker finds doubles and losses.

(With fdatasync switched off: test_power_loss.py.)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from chserver_process import ChServerProcess
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import OperationalError
from fault_proxy import Fault, FaultProxy, first
from ledger_entries import batch_of
from ledger_process import wait_until
from set_checker import SetChecker, entry

from ledger import check, insert
from ledger.plan import Load
from ledger.store import Store

pytestmark = pytest.mark.faults

ROWS = 20


def late_and_again(server: ChServerProcess, client: Client, checker: SetChecker, home: Path) -> None:
    """An INSERT that seems to have failed, comes late, and has been sent again by then."""
    paths = checker.new(ROWS)
    checker.accept(paths)
    load = Load((batch_of(*map(entry, paths), node=checker.node),))
    with FaultProxy(server.port, first(1, "INTO audit.entries", Fault.LATE)) as proxy:
        through = server.writer_client(port=int(proxy.url.rpartition(":")[2]))
        with pytest.raises(OperationalError):
            insert.insert(through, load, load.token)
        Store(client, home).load(load)
        wait_until(
            lambda: len(checker.stored(client)) > ROWS or inserts(server) == 0, "the late one", seconds=5
        )


def inserts(server: ChServerProcess) -> int:
    """Never 0 before the late request had its second: nothing but time tells that it came and was dropped."""
    import time

    time.sleep(1.5)
    running = "SELECT count() FROM system.processes WHERE query_kind = 'Insert'"
    return int(server.writer_client().command(running))  # type: ignore[arg-type]


def test_a_late_insert_that_was_sent_again_is_stored_once(
    server: ChServerProcess, client: Client, checker: SetChecker, tmp_path: Path
) -> None:
    late_and_again(server, client, checker, tmp_path)

    checker.check(client)


def test_the_checker_notices_when_the_token_is_switched_off(
    server: ChServerProcess,
    client: Client,
    checker: SetChecker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = insert.settings

    def without_token(load: Load, token: str, *others: Any) -> dict[str, str | int]:
        off = {"insert_deduplicate": 0, "insert_deduplication_token": ""}
        return {**real(load, token, *others), **off, "deduplicate_blocks_in_dependent_materialized_views": 0}

    monkeypatch.setattr(insert, "settings", without_token)
    late_and_again(server, client, checker, tmp_path)

    assert [f"{ROWS} doubled"] == [
        found.partition(":")[0] for found in checker.findings(checker.stored(client))
    ]


def test_the_checker_notices_when_the_look_before_a_retry_is_switched_off(
    client: Client, checker: SetChecker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = checker.new(ROWS)
    checker.accept(paths)
    load = Load((batch_of(*map(entry, paths), node=checker.node),))
    # Its token is not remembered any more, as after an overrun window.
    insert.insert(client, load, "forgotten")
    store = Store(client, tmp_path)
    real, looks = check.look, iter([True])
    monkeypatch.setattr(
        check,
        "look",
        lambda *about: {b.id: check.Stored() for b in about[1]} if next(looks, None) else real(*about),
    )

    with pytest.raises(Exception, match="of its"):
        store.load(load)

    assert [f"{ROWS} doubled"] == [
        found.partition(":")[0] for found in checker.findings(checker.stored(client))
    ]


def test_the_checker_notices_when_the_look_after_an_insert_is_switched_off(
    client: Client, checker: SetChecker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = checker.new(ROWS)
    checker.accept(paths)
    load = Load((batch_of(*map(entry, paths), node=checker.node),))
    # An INSERT that is answered as done and stored nothing: the token of rows that are gone.
    insert.insert(client, load, load.token)
    client.command(
        f"DELETE FROM audit.access_log WHERE envoy_node = '{checker.node}'", settings={"mutations_sync": 2}
    )
    believed = {batch.id: check.Stored(ROWS, ROWS, ROWS - 1) for batch in load.batches}
    monkeypatch.setattr(check, "look", lambda *_: believed)

    with pytest.raises(Exception, match="not to be found in"):
        # The books do not believe it either; the segment would have stayed.
        Store(client, tmp_path).load(load, tried=False)

    assert [f"{ROWS} lost"] == [found.partition(":")[0] for found in checker.findings(checker.stored(client))]
