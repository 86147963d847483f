import json
from pathlib import Path

import pytest

from ledger import lock, quarantine
from ledger.register import Totals
from ledger.retry import Backoff
from ledger.status import Status, read, write


def test_totals_survive_a_restart_and_the_rest_starts_anew(tmp_path: Path) -> None:
    file = tmp_path / "run" / "ledger.json"
    write(file, Status(7, 2, 3, last_error="x", clickhouse="up", updated_at=5.0))

    assert Status(7, 2, 3) == read(file)
    assert 0o600 == file.stat().st_mode & 0o777


def test_the_file_has_the_keys_that_others_read(tmp_path: Path) -> None:
    file = tmp_path / "ledger.json"
    write(file, Status())

    assert {
        "stored_total": 0,
        "unparsed_total": 0,
        "batches_total": 0,
        "decisions_total": 0,
        "last_error": None,
        "clickhouse": "down",
        "updated_at": 0.0,
    } == json.loads(file.read_text())


@pytest.mark.parametrize("text", ["", "{", "[]", '{"stored_total": "x"}'])
def test_a_file_that_cannot_be_read_counts_for_nothing(tmp_path: Path, text: str) -> None:
    file = tmp_path / "ledger.json"
    file.write_text(text)

    assert Status() == read(file)


def test_adding_and_the_books() -> None:
    status = Status(1, 2, 3).adding(stored=10, batches=1, unparsed=5)

    assert (11, 7, 4) == (status.stored_total, status.unparsed_total, status.batches_total)
    assert Status(100, 1, 9) == status.with_totals(Totals(stored=100, batches=9, unparsed=1))


def test_a_second_writer_on_one_home_is_refused(tmp_path: Path) -> None:
    lock.acquire(tmp_path / "run" / "ledger.lock")

    with pytest.raises(lock.LockError, match=r"process \d+ writes this home's ledger already"):
        lock.acquire(tmp_path / "run" / "ledger.lock")


def test_quarantine_is_for_its_owner_alone_and_may_be_repeated(tmp_path: Path) -> None:
    directory = tmp_path / "quarantine"

    names = [quarantine.keep(directory, "b.0.entry-1", b"\x00secret") for _ in range(2)]

    assert ["b.0.entry-1.bin"] * 2 == names
    (file,) = directory.iterdir()
    assert b"\x00secret" == file.read_bytes()
    assert (0o600, 0o700) == (file.stat().st_mode & 0o777, directory.stat().st_mode & 0o777)


def test_waits_grow_up_to_the_limit_and_start_again_after_a_success() -> None:
    backoff = Backoff(max_seconds=2)
    waits = [backoff.failed() for _ in range(200)]
    backoff.succeeded()

    assert max(waits) <= 2
    assert max(waits) > 1
    assert backoff.failed() <= 0.1
