"""ClickHouse is put back to an older state: what the spool still holds is stored again, once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from chserver_process import ChServerProcess
from ledger_entries import payload_of, select
from ledger_process import LedgerProcess, fill, origin, wait_until
from set_checker import SetChecker, entry

from ledger.migrate import migrate

pytestmark = pytest.mark.faults


def spooled(ledger: LedgerProcess, checker: SetChecker) -> None:
    paths = checker.new(20)
    checker.accept(paths)
    fill(ledger.spool, (origin(node=checker.node), payload_of(*map(entry, paths))))


def test_what_an_old_backup_lacks_is_stored_again_while_its_segments_are_held(
    checker: SetChecker, tmp_path: Path
) -> None:
    with ChServerProcess(tmp_path / "clickhouse") as server:
        migrate(server.writer_client())
        data, backup = server.home / "clickhouse", tmp_path / "backup"
        with LedgerProcess(tmp_path, server.url, server.password_file) as ledger:
            spooled(ledger, checker)
            ledger.drained()
            ledger.stop()
        server.stop()
        shutil.copytree(data, backup, symlinks=True)
        server.start()
        with LedgerProcess(tmp_path, server.url, server.password_file, hold_seconds=3600) as ledger:
            spooled(ledger, checker)
            booked = "SELECT sum(rows)::UInt32 AS n FROM audit.batches"
            wait_until(lambda: select(server.writer_client(), booked) == [{"n": 40}], "the later rows")
            assert 1 == ledger.waiting()
            ledger.stop()
        server.stop()
        shutil.rmtree(data)
        shutil.copytree(backup, data, symlinks=True)
        server.start()
        with LedgerProcess(tmp_path, server.url, server.password_file) as ledger:
            ledger.drained()

        checker.check(server.writer_client())
