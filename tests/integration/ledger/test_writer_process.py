"""The writer as a process: whatever dies or breaks, each entry is one row."""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import product
from pathlib import Path

import pytest
from chserver_process import ChServerProcess
from clickhouse_connect.driver.client import Client
from fault_proxy import Fault, FaultProxy, first
from ledger_entries import paths, select
from ledger_process import LedgerProcess, fill, origin, wait_until
from ports import free_port

from ledger.migrate import migrate

MIDNIGHT_NS = 86_400 * 10**9

Start = Callable[..., LedgerProcess]


@pytest.fixture
def ledger(server: ChServerProcess, tmp_path: Path) -> LedgerProcess:
    """A writer that is not started yet, and killed in the end."""
    return LedgerProcess(tmp_path / "home", server.url, server.password_file)


def rows(client: Client, node: str) -> Counter[str]:
    """How often each path is in the ledger."""
    found = select(client, f"SELECT url_path FROM audit.access_log WHERE envoy_node = '{node}'")
    return Counter(row["url_path"] for row in found)


def fill_many(spool: Path, node: str, segments: Iterable[int], *, records: int, per_record: int) -> set[str]:
    """Segments of many entries, each with a path of its own; gives the paths."""
    sent: set[str] = set()
    for segment in segments:
        each = []
        for record in range(records):
            names = [f"/{segment}/{record}/{number}" for number in range(per_record)]
            sent.update(names)
            each.append((origin(node=node, log_name=f"log-{record % 3}"), paths(*names)))
        fill(spool, *each)
    return sent


def test_entries_policies_and_raw_bytes_all_arrive(ledger: LedgerProcess, client: Client, node: str) -> None:
    texts = {"model": "m", "policy": "p", "model_path": "a", "policy_path": "b", "node": "h"}
    fill(
        ledger.spool,
        (origin(node=node), paths("/1", "/2")),
        (origin("tcp", node=node), b"\x0a\x00"),
        (origin("unparsed", node=node, cause="no message"), b"raw"),
        (origin(node=node), paths("/3")),
    )
    fill(ledger.journal, (origin("policy", version=node), json.dumps(texts).encode()))

    with ledger:
        ledger.drained()

    assert Counter({"/1": 1, "/2": 1, "/3": 1, "": 1}) == rows(client, node)
    protocols = f"SELECT network_protocol AS p, count()::UInt8 AS n FROM audit.access_log WHERE envoy_node = '{node}' GROUP BY p ORDER BY p"
    assert [{"p": "", "n": 3}, {"p": "tcp", "n": 1}] == select(client, protocols)
    assert [{"cause": "no message"}] == select(
        client, f"SELECT cause FROM audit.unparsed WHERE envoy_node = '{node}'"
    )
    assert [{"model": "m"}] == select(
        client, f"SELECT model FROM audit.policies WHERE policy_version = '{node}'"
    )
    status = ledger.status
    assert ("up", None) == (status["clickhouse"], status["last_error"])
    assert abs(time.time() - status["updated_at"]) < 60


def test_a_writer_that_is_killed_at_each_of_its_steps_stores_each_entry_once(
    server: ChServerProcess, client: Client, tmp_path: Path, node: str
) -> None:
    sent: set[str] = set()
    home = tmp_path / "home"
    steps = product(
        ["INTO audit.entries", "FROM audit.access_log", "INTO audit.batches"], [Fault.STUCK, Fault.HELD]
    )
    for number, (statement, fault) in enumerate(steps):
        with FaultProxy(server.port, first(1, statement, fault)) as proxy:
            ledger = LedgerProcess(home, proxy.url, server.password_file)
            # New ones in each round, so that each step is taken in each.
            sent |= fill_many(ledger.spool, node, range(2 * number, 2 * number + 2), records=6, per_record=20)
            ledger.start()
            # The kill comes in the middle of this request, whose answer the writer never gets.
            wait_until(proxy.holds.is_set, f"{statement} to be {fault.name}; {ledger.status}")
            ledger.kill()
            assert ledger.waiting(), (statement, fault)
    with LedgerProcess(home, server.url, server.password_file) as last:
        last.drained()

    found = rows(client, node)
    assert sent == set(found)
    assert {1} == set(found.values())
    booked = f"SELECT sum(rows)::UInt32 AS n, uniqExact(batch) = count() AS once FROM audit.batches WHERE envoy_node = '{node}'"
    assert [{"n": len(sent), "once": 1}] == select(client, booked)


def test_clickhouse_may_come_later_and_waiting_is_said_once(tmp_path: Path) -> None:
    port = free_port()
    home = tmp_path / "clickhouse"
    server = ChServerProcess(home, port=port)
    server.password_file.parent.mkdir(parents=True)
    server.password_file.write_text("secret")
    ledger = LedgerProcess(tmp_path / "home", server.url, server.password_file, retry_max_seconds=0.05)
    fill(ledger.spool, (origin(), paths("/1")))

    with ledger:
        wait_until(lambda: bool(ledger.status.get("last_error")), "an error in the status")
        first = ledger.status["updated_at"]
        wait_until(lambda: ledger.status["updated_at"] > first + 0.3, "several tries")
        assert "down" == ledger.status["clickhouse"]
        with server:
            ledger.drained()
            wait_until(lambda: ledger.status["clickhouse"] == "up", "clickhouse up")
            assert (1, None) == (ledger.status["stored_total"], ledger.status["last_error"])
            assert 0 == ledger.stop()

    said = [event["event"] for event in ledger.events]
    assert ["the ledger waits", "schema migrated", "ClickHouse is up"] == said


def test_totals_go_on_after_a_restart(ledger: LedgerProcess, node: str) -> None:
    with ledger:
        wait_until(lambda: ledger.status.get("clickhouse") == "up", "clickhouse up")
        before = ledger.status["stored_total"]
        fill(ledger.spool, (origin(node=node), paths("/1")))
        ledger.drained()
        assert 0 == ledger.stop()
    fill(ledger.spool, (origin(node=node), paths("/2")))
    with ledger:
        ledger.drained()
        wait_until(lambda: ledger.status["stored_total"] >= before + 2, "the new total")


def test_a_segment_that_does_not_add_up_is_held_and_the_others_go_on(
    ledger: LedgerProcess, client: Client, node: str
) -> None:
    fill(ledger.spool, (origin(node=node), paths("/odd/1", "/odd/2")))
    (segment,) = ledger.spool.glob("*.seg")
    spare = segment.read_bytes()
    with ledger:
        ledger.drained()
        ledger.stop()
    # As if somebody had doubled one of its two rows before it was deleted.
    client.command(
        f"INSERT INTO audit.access_log SELECT * FROM audit.access_log WHERE envoy_node = '{node}' AND batch_row = 1"
    )
    segment.write_bytes(spare)
    fill(ledger.spool, (origin(node=node), paths("/sound")))

    with ledger:
        wait_until(lambda: ledger.waiting() == 1, "the sound segment to go")
        wait_until(lambda: bool(ledger.status["last_error"]), "an alarm")
        assert "3 of its 2 rows" in ledger.status["last_error"]
        assert 0 == ledger.stop()

    assert segment.exists()
    assert Counter({"/odd/1": 1, "/odd/2": 2, "/sound": 1}) == rows(client, node)


def test_a_segment_that_is_damaged_gives_what_is_whole(
    ledger: LedgerProcess, client: Client, node: str
) -> None:
    fill(ledger.spool, *((origin(node=node), paths(f"/{number}")) for number in range(3)))
    (segment,) = ledger.spool.glob("*.seg")
    data = bytearray(segment.read_bytes())
    data[data.index(b"/1")] ^= 1
    segment.write_bytes(data)

    with ledger:
        ledger.drained()

    assert Counter({"/0": 1, "/2": 1}) == rows(client, node)
    kept = [file for file in ledger.quarantine.iterdir() if b".1" in file.read_bytes()]
    assert 1 == len(kept)
    assert 0o600 == kept[0].stat().st_mode & 0o777


def test_names_that_no_text_can_hold_stop_nothing(ledger: LedgerProcess, client: Client, node: str) -> None:
    lone_surrogate = origin(node=node).replace(b'"edge"', rb'"\ud800\u0000x"')
    fill(ledger.spool, (lone_surrogate, paths("/1")), (origin(node=node), paths("/2")))

    with ledger:
        ledger.drained()

    assert Counter({"/1": 1, "/2": 1}) == rows(client, node)


def test_a_batch_does_not_go_over_midnight(ledger: LedgerProcess, client: Client, node: str) -> None:
    midnight = time.time_ns() // MIDNIGHT_NS * MIDNIGHT_NS
    fill(
        ledger.spool,
        (origin(node=node, received_at=midnight - 1_000), paths("/before")),
        (origin(node=node, received_at=midnight), paths("/after")),
    )

    with ledger:
        ledger.drained()

    found = f"SELECT toDate(received_at)::String AS day, count()::UInt8 AS n, uniqExact(batch)::UInt8 AS b FROM audit.access_log WHERE envoy_node = '{node}' GROUP BY day ORDER BY day"
    days = select(client, found)
    assert [(1, 1), (1, 1)] == [(day["n"], day["b"]) for day in days]


def test_a_second_writer_on_the_same_home_is_refused(ledger: LedgerProcess) -> None:
    with ledger:
        wait_until(lambda: bool(ledger.status), "the first one")
        second = subprocess.run(ledger.command, check=False, capture_output=True, text=True, timeout=60)

    assert (2, "") == (second.returncode, second.stdout)
    assert "writes this home's ledger already" in second.stderr
    assert "Traceback" not in second.stderr


def test_a_status_that_cannot_be_written_stops_nothing(
    server: ChServerProcess, client: Client, tmp_path: Path, node: str
) -> None:
    in_the_way = tmp_path / "status"
    in_the_way.mkdir()
    ledger = LedgerProcess(tmp_path / "home", server.url, server.password_file, status=str(in_the_way))
    fill(ledger.spool, (origin(node=node), paths("/1")))

    with ledger:
        ledger.drained()

    assert rows(client, node) == Counter({"/1": 1})
    assert "the status cannot be written" in ledger.log.read_text()


def test_a_database_of_another_version_is_said_at_once(tmp_path: Path) -> None:
    with ChServerProcess(tmp_path / "server") as server:
        client = server.writer_client()
        migrate(client)
        client.command("INSERT INTO audit.schema_migrations (name, sha256) VALUES ('9999_later.sql', 'x')")
        client.close()
        ledger = LedgerProcess(tmp_path / "home", server.url, server.password_file)
        done = subprocess.run(ledger.command, check=False, capture_output=True, text=True, timeout=60)

    assert done.returncode == 2
    assert "9999_later.sql" in done.stderr
    assert "Traceback" not in done.stderr


def test_check_validates_and_exits(ledger: LedgerProcess, tmp_path: Path) -> None:
    fine = subprocess.run(
        [*ledger.command, "--check"], check=False, capture_output=True, text=True, timeout=60
    )
    ledger.config.write_text('{"ledger": {"poll": 1}}')
    wrong = subprocess.run(
        [*ledger.command, "--check"], check=False, capture_output=True, text=True, timeout=60
    )

    assert (0, "ledger: the settings are fine\n", "") == (fine.returncode, fine.stdout, fine.stderr)
    assert 2 == wrong.returncode
    assert "ledger.poll: no such setting" in wrong.stderr
    # Nothing was started, nothing was made.
    assert not (tmp_path / "home" / "run").exists()
