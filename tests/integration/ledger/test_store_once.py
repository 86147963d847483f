"""The tests carry the names of the invariants of ledger/store.py; ClickHouse is real."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from ledger_entries import batch_of, paths, select

from ledger import digest, insert, plan, register
from ledger.errors import StuckError
from ledger.framing import framing
from ledger.plan import Batch, Load, Policy, Source, Unparsed, loads
from ledger.store import Done, Store
from protos.gen import accesslog_pb2 as accesslog

# The length of the request runs past the end of the entry.
POISON = b"\x0a\x04\x1a\x08\x2a\x02"
MIDNIGHT = 1_795_392_000 * 10**9


def batch(*request_paths: str, **more: Any) -> Batch:
    entries = [accesslog.HTTPAccessLogEntry(request={"path": path}) for path in request_paths]
    return batch_of(*entries, **more)


def poisoned(*payloads: bytes, id_: str = "") -> Batch:
    made = batch("/", id_=id_)
    payload = b"".join(payloads)
    return plan.batch_of(made.id, made.source, made.received_at, [payload], len(framing(payload).entries))


def stored_paths(client: Client, *batches: Batch) -> list[str]:
    ids = ", ".join(f"'{each.id}'" for each in batches)
    query = f"SELECT url_path FROM audit.access_log WHERE batch IN ({ids}) ORDER BY batch, batch_row"
    return [row["url_path"] for row in select(client, query)]


def test_a_load_is_stored_and_booked(store: Store, client: Client) -> None:
    one, two = batch("/1", "/2", node="a"), batch("/3", node="b")

    assert Done(3, 2, 0) == store.load(Load((one, two)))

    query = (
        "SELECT envoy_node, log_name, kind, rows, bytes, length(sha256) AS hex, length(rows_digest) AS digest, "
        f"digest_version FROM audit.batches WHERE batch IN ('{one.id}', '{two.id}') ORDER BY batch"
    )
    common = {"log_name": "edge", "kind": "http", "hex": 64, "digest": 64, "digest_version": 1}
    assert [
        {"envoy_node": "a", "rows": 2, "bytes": len(one.payload), **common},
        {"envoy_node": "b", "rows": 1, "bytes": len(two.payload), **common},
    ] == select(client, query)
    nodes = f"SELECT envoy_node, batch_row FROM audit.access_log WHERE batch IN ('{one.id}', '{two.id}') ORDER BY ALL"
    assert [("a", 0), ("a", 1), ("b", 0)] == [
        (row["envoy_node"], row["batch_row"]) for row in select(client, nodes)
    ]


@pytest.mark.parametrize(
    ("count", "name"), [pytest.param(300, "n", id="many"), pytest.param(20, 'é"\\' * 85, id="long names")]
)
def test_batches_of_a_whole_fleet_are_stored(store: Store, client: Client, count: int, name: str) -> None:
    batches = [batch(f"/{number}", node=f"{name}{number}") for number in range(count)]

    done = [store.load(load) for load in loads(batches)]

    assert (count, count) == (sum(each.rows for each in done), sum(each.batches for each in done))
    assert len(done) < count / 3
    ids = ", ".join(f"'{each.id}'" for each in batches)
    query = f"SELECT envoy_node, url_path FROM audit.access_log WHERE batch IN ({ids})"
    found = client.query(f"{query} ORDER BY toUInt32(substring(url_path, 2))").result_rows
    assert [(f"{name}{number}", f"/{number}") for number in range(count)] == found


def test_what_is_there_already_is_not_sent_again(store: Store, client: Client, tmp_path: Path) -> None:
    load = Load((batch("/1", "/2"),))
    store.load(load)
    # Not even the memory of tokens is needed: another process, another token.
    again = Store(client, tmp_path)
    again._vain[load.token] = 7

    assert Done(0, 0, 0) == again.load(load)
    assert ["/1", "/2"] == stored_paths(client, *load.batches)


def test_only_the_batches_that_are_absent_are_sent(store: Store, client: Client) -> None:
    one, two = batch("/1"), batch("/2")
    store.load(Load((one,)))

    assert Done(1, 1, 0) == store.load(Load((one, two)))
    assert ["/1", "/2"] == stored_paths(client, one, two)


def test_the_same_token_stores_once_even_without_a_look(client: Client) -> None:
    load = Load((batch("/1", "/2"),))

    for _ in range(3):
        insert.insert(client, load, load.token)

    assert ["/1", "/2"] == stored_paths(client, *load.batches)


def test_an_insert_whose_booking_was_lost_is_booked_once(store: Store, client: Client) -> None:
    load = Load((batch("/1"),))
    insert.insert(client, load, load.token)

    assert Done(1, 1, 0) == store.load(load)
    assert [{"n": 1}] == select(
        client, f"SELECT count()::UInt8 AS n FROM audit.batches WHERE batch = '{load.batches[0].id}'"
    )


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        pytest.param(
            "INSERT INTO audit.access_log SELECT * FROM audit.access_log WHERE batch = '{id}' AND batch_row = 0",
            "4 of its 3",
            id="a repeat",
        ),
    ],
)
def test_whatever_does_not_add_up_is_left_as_it_is(
    store: Store, client: Client, spoil: str, says: str
) -> None:
    odd, sound = batch("/1", "/2", "/3"), batch("/sound")
    store.load(Load((odd,)))
    client.command(spoil.replace("{id}", odd.id), settings={"mutations_sync": 2})
    before = stored_paths(client, odd)

    with pytest.raises(StuckError, match=says):
        store.load(Load((odd, sound)))

    assert before == stored_paths(client, odd)
    assert ["/sound"] == stored_paths(client, sound)


def test_what_is_missing_of_a_batch_is_sent_again_with_its_numbers(store: Store, client: Client) -> None:
    odd = batch(*(f"/{number}" for number in range(9)))
    store.load(Load((odd,)))
    digests = f"SELECT {digest.expression()} AS d FROM audit.access_log WHERE batch = '{odd.id}'"
    before = select(client, digests)
    client.command(
        f"DELETE FROM audit.access_log WHERE batch = '{odd.id}' AND batch_row IN (0, 3, 4, 8)",
        settings={"mutations_sync": 2},
    )

    assert Done(0, 0, 0, repaired=4) == store.load(Load((odd,)))

    assert [f"/{number}" for number in range(9)] == stored_paths(client, odd)
    assert before == select(client, digests)


def test_rows_that_are_gone_while_their_token_is_remembered_are_sent_under_another(
    store: Store, client: Client
) -> None:
    load = Load((batch("/1", "/2"),))
    insert.insert(client, load, load.token)
    client.command(
        f"DELETE FROM audit.access_log WHERE batch = '{load.batches[0].id}'", settings={"mutations_sync": 2}
    )

    with pytest.raises(StuckError, match="0 of its 2"):
        store.load(load)

    assert Done(2, 1, 0) == store.load(load)
    assert ["/1", "/2"] == stored_paths(client, *load.batches)


@pytest.mark.parametrize(
    ("payloads", "kept"),
    [
        pytest.param((paths("/1"), POISON, paths("/2", "/3")), [1], id="between others"),
        pytest.param((POISON, paths("/1", "/2", "/3")), [0], id="at the start"),
        pytest.param((paths("/1", "/2", "/3"), POISON), [3], id="at the end"),
        pytest.param((POISON, paths("/1", "/2"), POISON, paths("/3"), POISON), [0, 3, 5], id="several"),
    ],
)
def test_an_entry_that_cannot_be_stored_stops_no_other(
    store: Store, client: Client, tmp_path: Path, payloads: tuple[bytes, ...], kept: list[int]
) -> None:
    bad, neighbour = poisoned(*payloads), batch("/neighbour")

    done = store.load(Load((bad, neighbour)))

    assert Done(4, 2, len(kept)) == done
    assert ["/1", "/2", "/3"] == stored_paths(client, bad)
    assert ["/neighbour"] == stored_paths(client, neighbour)
    files = [f"{bad.id}.entry-{number}.bin" for number in kept]
    assert sorted(files) == sorted(file.name for file in (tmp_path / "quarantine").iterdir())
    assert {POISON} == {file.read_bytes() for file in (tmp_path / "quarantine").iterdir()}
    booked = select(
        client,
        f"SELECT file, size, entries, cause FROM audit.unparsed WHERE batch = '{bad.id}' ORDER BY file",
    )
    assert sorted(files) == [row["file"] for row in booked]
    assert {(len(POISON), 1)} == {(row["size"], row["entries"]) for row in booked}
    # And again, as after a crash before the segment was deleted: nothing new.
    assert Done(0, 0, 0) == store.load(Load((bad, neighbour)))
    assert ["/1", "/2", "/3"] == stored_paths(client, bad)


def test_a_batch_of_nothing_but_poison_is_done_without_a_row(store: Store, client: Client) -> None:
    bad = poisoned(POISON)

    assert Done(0, 0, 1) == store.load(Load((bad,)))
    assert Done(0, 0, 0) == store.load(Load((bad,)))
    assert [] == stored_paths(client, bad)


def test_a_trial_stores_nothing(client: Client) -> None:
    load = Load((batch("/1"),))

    insert.attempt(client, load)

    assert [] == stored_paths(client, *load.batches)
    # And does not use up the token.
    insert.insert(client, load, load.token)
    assert ["/1"] == stored_paths(client, *load.batches)


def test_requests_from_before_midnight_stay_in_the_batchs_one_partition(store: Store, client: Client) -> None:
    slow = [
        accesslog.HTTPAccessLogEntry(
            common_properties={"start_time": {"seconds": MIDNIGHT // 10**9 + seconds}}
        )
        for seconds in (-90_000, -1, 0, 1)
    ]
    load = Load((batch_of(*slow, received_at=MIDNIGHT + 5),))

    store.load(load)

    found = f"SELECT uniqExact(_partition_id)::UInt8 AS parts, count()::UInt8 AS n FROM audit.access_log WHERE batch = '{load.batches[0].id}'"
    assert [{"parts": 1, "n": 4}] == select(client, found)


def test_a_large_batch_is_one_part_and_its_digest_stable(store: Store, client: Client) -> None:
    rows = 10_000
    large = batch(*(f"/orders/{number}?page={number}" for number in range(rows)))
    twin = replace(large, id=f"{large.id}-twin")

    store.load(Load((large,)))
    booked = f"SELECT rows_digest FROM audit.batches WHERE batch = '{large.id}'"
    parts = f"SELECT uniqExact(_part)::UInt8 AS parts, count()::UInt32 AS n FROM audit.access_log WHERE batch = '{large.id}'"
    assert [{"parts": 1, "n": rows}] == select(client, parts)
    store.load(Load((twin,)))
    client.command("OPTIMIZE TABLE audit.access_log FINAL")

    again = f"SELECT {digest.expression()} AS rows_digest FROM audit.access_log WHERE batch = "
    assert select(client, booked) == select(client, f"{again}'{large.id}'")
    # Another batch of the same entries is another digest: its id is in it.
    assert select(client, booked) != select(client, f"{again}'{twin.id}'")


def test_a_digest_notices_one_changed_value(store: Store, client: Client) -> None:
    load = Load((batch("/1", "/2"),))
    store.load(load)
    id_ = load.batches[0].id
    client.command(
        f"ALTER TABLE audit.access_log UPDATE reason = 'x' WHERE batch = '{id_}' AND batch_row = 1",
        settings={"mutations_sync": 2},
    )

    booked = select(client, f"SELECT rows_digest FROM audit.batches WHERE batch = '{id_}'")
    now = select(
        client, f"SELECT {digest.expression()} AS rows_digest FROM audit.access_log WHERE batch = '{id_}'"
    )

    assert booked != now


def test_a_policy_and_raw_bytes_are_booked_once(store: Store, client: Client, node: str) -> None:
    policy = Policy(f"v-{node}", MIDNIGHT, "[m]\n'\"\\", "p, a\té\n", "model.conf", "policy.csv", node)
    raw = Unparsed(f"seg-{node}", Source("unparsed", node, "l"), MIDNIGHT, "no message", b"\x00\xff")

    assert [True, False] == [store.policy(policy) for _ in range(2)]
    assert [1, 0] == [store.unparsed(raw) for _ in range(2)]

    stored = select(client, f"SELECT * EXCEPT stored_at FROM audit.policies WHERE node = '{node}'")
    assert [
        {
            "policy_version": f"v-{node}",
            "model": "[m]\n'\"\\",
            "policy": "p, a\té\n",
            "model_path": "model.conf",
            "policy_path": "policy.csv",
            "node": node,
            "received_at": "2026-11-23 00:00:00.000000",
        }
    ] == stored
    (row,) = select(client, f"SELECT cause, size, file FROM audit.unparsed WHERE envoy_node = '{node}'")
    assert {"cause": "no message", "size": 2, "file": f"seg-{node}.bin"} == row


def test_totals_are_what_the_books_say(store: Store, client: Client) -> None:
    before = register.totals(client)

    store.load(Load((batch("/1", "/2"), poisoned(paths("/3"), POISON))))

    after = register.totals(client)
    assert (3, 2, 1) == (
        after.stored - before.stored,
        after.batches - before.batches,
        after.unparsed - before.unparsed,
    )
