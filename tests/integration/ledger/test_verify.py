"""`gateledger db verify` on the real engine: whatever was done to stored rows behind the ledger's back is named."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from chserver_process import ChServerProcess
from click.testing import CliRunner, Result
from clickhouse_connect.driver.client import Client
from ledger_entries import batch_of

from gateledger.cli.commands import cli
from ledger import retention, verify
from ledger.plan import Batch, Load
from ledger.store import Store
from protos.gen import accesslog_pb2 as accesslog

# Each test has a day of its own, long before the rows of all others.
DAYS = itertools.count()
FIRST_DAY = datetime(2021, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
SYNC = {"mutations_sync": 2, "async_insert": 0}


@pytest.fixture
def moment() -> datetime:
    return FIRST_DAY + timedelta(days=next(DAYS))


def stored(store: Store, moment: datetime, count: int = 5) -> Batch:
    entries = [accesslog.HTTPAccessLogEntry(request={"path": f"/{number}"}) for number in range(count)]
    batch = batch_of(*entries, received_at=int(moment.timestamp()) * 10**9)
    store.load(Load((batch,)))
    return batch


def verified(client: Client, moment: datetime) -> verify.Verified:
    return verify.find(client, moment - HOUR, moment + HOUR, lambda _: None)


def told(client: Client, moment: datetime) -> list[tuple[str, str, int, int]]:
    found = verified(client, moment).findings
    return [(each.batch, each.finding, each.booked_rows, each.found_rows) for each in found]


def test_what_nobody_touched_is_as_it_was_booked(store: Store, client: Client, moment: datetime) -> None:
    stored(store, moment)
    stored(store, moment + timedelta(seconds=1), count=7)

    assert verified(client, moment) == verify.Verified((), 2, 12)


@pytest.mark.parametrize(
    ("spoil", "finding", "found"),
    [
        pytest.param(
            "ALTER TABLE audit.access_log UPDATE url_path_upstream = '/x' IN PARTITION '{day}' WHERE {rows} AND batch_row = 1",
            verify.CHANGED,
            5,
            id="a value is edited",
        ),
        pytest.param("DELETE FROM audit.access_log IN PARTITION '{day}' WHERE {rows} AND batch_row = 2", verify.MISSING, 4, id="a row is deleted"),
        pytest.param("DELETE FROM audit.access_log IN PARTITION '{day}' WHERE {rows} AND batch_row = 4", verify.MISSING, 4, id="the last row is deleted"),
        pytest.param("DELETE FROM audit.access_log IN PARTITION '{day}' WHERE {rows}", verify.MISSING, 0, id="all rows are lost after the hold"),
        pytest.param("ALTER TABLE audit.access_log DROP PARTITION '{day}'", verify.MISSING, 0, id="a day is dropped without a booking"),
        pytest.param(
            "INSERT INTO audit.access_log SELECT * FROM audit.access_log WHERE {rows} AND batch_row = 0",
            verify.ADDED,
            6,
            id="a row is doubled",
        ),
        pytest.param(
            "INSERT INTO audit.access_log SELECT * REPLACE (5 AS batch_row) FROM audit.access_log WHERE {rows} LIMIT 1",
            verify.ADDED,
            6,
            id="a row is added",
        ),
        pytest.param(
            "ALTER TABLE audit.batches DELETE IN PARTITION {month} WHERE {rows}", verify.NOT_BOOKED, 5, id="the booking is deleted"
        ),
    ],
)  # fmt: skip
def test_what_was_done_to_a_batch_is_told_and_the_others_are_not(  # noqa: PLR0917
    store: Store, client: Client, moment: datetime, spoil: str, finding: str, found: int
) -> None:
    odd = stored(store, moment)
    other_day = moment + timedelta(days=400)
    stored(store, other_day)

    client.command(
        spoil.format(rows=f"batch = '{odd.id}'", day=f"{moment:%Y-%m-%d}", month=f"{moment:%Y%m}"),
        settings=SYNC,
    )

    booked = 0 if finding == verify.NOT_BOOKED else 5
    assert told(client, moment) == [(odd.id, finding, booked, found)]
    assert told(client, other_day) == []


def test_rows_that_the_ledger_never_stored_are_told(client: Client, moment: datetime) -> None:
    client.command(
        "INSERT INTO audit.access_log (received_at, subject, batch) VALUES ({at:DateTime64(6)}, 'mallory', 'forged')",
        parameters={"at": f"{moment:%Y-%m-%d %H:%M:%S}"},
        settings=SYNC,
    )

    assert told(client, moment) == [("forged", verify.NOT_BOOKED, 0, 1)]


def test_what_retention_removed_is_not_missing(store: Store, client: Client, moment: datetime) -> None:
    stored(store, moment)
    (removal,) = [
        each
        for each in retention.due(client, ("access_log",), 60, datetime.now(UTC))
        if each.partition == f"{moment:%Y-%m-%d}"
    ]

    retention.remove(client, removal, 60, "somebody")

    assert verified(client, moment) == verify.Verified((), 1, 0)


def test_a_removal_that_was_cut_off_before_its_end_was_booked_leaves_nothing_missing(
    store: Store, client: Client, moment: datetime
) -> None:
    stored(store, moment)
    day = f"{moment:%Y-%m-%d}"
    retention.book(client, retention.Removal("access_log", day, 5, moment, moment), "begun", 60, "somebody")
    client.command(f"ALTER TABLE audit.access_log DROP PARTITION '{day}'")

    assert told(client, moment) == []


def test_what_is_removed_while_rows_are_read_is_not_missing(
    store: Store, client: Client, moment: datetime
) -> None:
    later = FIRST_DAY + timedelta(days=next(DAYS))
    stored(store, moment)
    stored(store, later)
    removal = retention.Removal("access_log", f"{later:%Y-%m-%d}", 5, later, later)
    seen: list[int] = []

    def removing(rows: int) -> None:
        if not seen:
            retention.remove(client, removal, 60, "somebody")
        seen.append(rows)

    found = verify.find(client, moment - HOUR, later + HOUR, removing)

    assert later not in [each.received_at for each in found.findings]


def test_a_newer_digest_is_not_taken_for_a_change(store: Store, client: Client, moment: datetime) -> None:
    batch = stored(store, moment)
    client.command(
        f"ALTER TABLE audit.batches UPDATE digest_version = 9 IN PARTITION {moment:%Y%m} WHERE batch = '{batch.id}'",
        settings=SYNC,
    )

    with pytest.raises(verify.UnknownDigestError, match="digest_version 9, this is version 1"):
        verified(client, moment)


def run(server: ChServerProcess, home: Path, moment: datetime) -> Result:
    config = home / "gateledger.json"
    section = {"url": server.url, "writer_password_file": str(server.password_file)}
    config.write_text(json.dumps({"clickhouse": section, "home": str(home)}))
    span = [f"--since={moment - HOUR:%Y-%m-%dT%H:%M:%SZ}", f"--until={moment + HOUR:%Y-%m-%dT%H:%M:%SZ}"]
    return CliRunner().invoke(cli, ["db", "verify", "--config", str(config), "--format", "json", *span])


def test_a_time_that_is_too_young_is_not_said_to_be_sound(server: ChServerProcess, tmp_path: Path) -> None:
    found = run(server, tmp_path, datetime.now(UTC) + HOUR - timedelta(seconds=5))

    assert 2 == found.exit_code
    assert "nothing could be verified" in found.stderr


def test_the_command_says_what_it_looked_at_and_exits_with_1_where_something_changed(
    server: ChServerProcess, store: Store, client: Client, tmp_path: Path, moment: datetime
) -> None:
    batch = stored(store, moment)
    sound = run(server, tmp_path, moment)
    client.command(
        f"ALTER TABLE audit.access_log UPDATE rule = 'p' IN PARTITION '{moment:%Y-%m-%d}' WHERE batch = '{batch.id}'",
        settings=SYNC,
    )
    changed = run(server, tmp_path, moment)

    assert (0, []) == (sound.exit_code, json.loads(sound.stdout)), sound.stderr
    assert "verified 5 rows of 1 batches, received" in sound.stderr
    assert sound.stderr.endswith(": all as booked\n")
    assert 1 == changed.exit_code
    assert [(batch.id, "rows_changed")] == [
        (row["batch"], row["finding"]) for row in json.loads(changed.stdout)
    ]
    assert "1 batches are not as booked" in changed.stderr
