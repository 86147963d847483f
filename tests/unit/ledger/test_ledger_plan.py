"""The tests carry the names of the invariants of ledger/plan.py."""

import json
from itertools import pairwise
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ledger.framing import framing
from ledger.insert import settings
from ledger.plan import Limits, Plan, Torn, loads, plan, without
from protos.gen import als_pb2 as als
from spool import Record

# A busy machine is no failure.
UNHURRIED = hypothesis_settings(deadline=None)

SEGMENT = "01795415980592134183-453ade81d65b3883"
MIDNIGHT = 1_795_392_000 * 10**9
HTTP = als.StreamAccessLogsMessage.HTTPAccessLogEntries


def payload(*paths: str) -> bytes:
    message = HTTP()
    for path in paths:
        message.log_entry.add().request.path = path
    return message.SerializeToString()


def record(
    *paths: str, node: str = "n", kind: str = "http", log_name: str = "l", at: int = MIDNIGHT
) -> Record:
    about = {"kind": kind, "node": node, "log_name": log_name, "received_at": at}
    return Record(json.dumps(about).encode(), payload(*paths))


def paths_of(found: Plan) -> list[list[str]]:
    return [
        [entry.request.path for entry in HTTP.FromString(batch.payload).log_entry] for batch in found.batches
    ]


RECORDS = st.lists(
    st.builds(
        lambda paths, node, kind, hour: record(
            *paths, node=node, kind=kind, at=MIDNIGHT + hour * 3600 * 10**9
        ),
        st.lists(st.text("abc", min_size=1, max_size=30), max_size=8),
        st.sampled_from(["n", "m"]),
        st.sampled_from(["http", "tcp"]),
        st.integers(0, 47),
    ),
    max_size=12,
)
LIMITS = st.builds(Limits, rows=st.integers(1, 10), bytes=st.integers(1, 300))


@UNHURRIED
@given(RECORDS, LIMITS)
def test_the_same_records_make_the_same_plan(records: list[Record], limits: Limits) -> None:
    assert plan(SEGMENT, records, limits) == plan(SEGMENT, iter(records), limits)


@UNHURRIED
@given(RECORDS, LIMITS)
def test_every_entry_is_in_exactly_one_batch_in_the_order_of_its_stream(
    records: list[Record], limits: Limits
) -> None:
    found = plan(SEGMENT, records, limits)

    for node in ("n", "m"):
        for kind in ("http", "tcp"):
            sent = b"".join(
                each.payload
                for each in records
                if json.loads(each.origin)["node"] == node and json.loads(each.origin)["kind"] == kind
            )
            planned = b"".join(
                batch.payload
                for batch in found.batches
                if (batch.source.node, batch.source.kind) == (node, kind)
            )
            assert sent == planned
    assert [batch.rows for batch in found.batches] == [
        len(framing(batch.payload).entries) for batch in found.batches
    ]
    assert [f"{SEGMENT}.{number}" for number in range(len(found.batches))] == [b.id for b in found.batches]


@UNHURRIED
@given(RECORDS, LIMITS)
def test_a_batch_is_no_larger_than_the_limits_but_for_a_single_entry(
    records: list[Record], limits: Limits
) -> None:
    for batch in plan(SEGMENT, records, limits).batches:
        assert 1 <= batch.rows <= limits.rows
        assert batch.rows == 1 or len(batch.payload) <= limits.bytes


def test_a_batch_has_one_source() -> None:
    found = plan(
        SEGMENT,
        [
            record("/1"),
            record("/2", node="other"),
            record("/3", kind="tcp"),
            record("/4", log_name="other"),
            record("/5"),
        ],
    )

    assert [["/1", "/5"], ["/2"], ["/3"], ["/4"]] == paths_of(found)


def test_a_batch_has_one_day_of_received_at() -> None:
    before, after = MIDNIGHT - 1, MIDNIGHT

    found = plan(SEGMENT, [record("/1", at=before - 1), record("/2", at=before), record("/3", at=after)])

    assert [["/1", "/2"], ["/3"]] == paths_of(found)
    assert [before, after] == [batch.received_at for batch in found.batches]


def test_received_at_of_a_batch_is_its_last_records() -> None:
    found = plan(SEGMENT, [record("/1", at=MIDNIGHT + 1), record("/2", at=MIDNIGHT + 7)])

    assert [MIDNIGHT + 7] == [batch.received_at for batch in found.batches]


def test_a_message_without_entries_makes_no_batch() -> None:
    assert () == plan(SEGMENT, [record()]).batches


def test_bytes_that_are_no_entry_are_kept_and_the_entries_before_them_stored() -> None:
    broken = Record(record().origin, payload("/1") + b"\x0a\x09cut")

    found = plan(SEGMENT, [record("/0"), broken, record("/2")])

    assert [["/0", "/1", "/2"]] == paths_of(found)
    (kept,) = found.unparsed
    assert (b"\x0a\x09cut", f"{SEGMENT}.record-1", "n") == (kept.payload, kept.id, kept.source.node)
    assert "after 1 entries" in kept.cause


def test_fields_beside_the_entries_are_left_out() -> None:
    newer = Record(record().origin, payload("/1") + b"\x12\x03new" + payload("/2"))

    found = plan(SEGMENT, [newer])

    assert payload("/1", "/2") == found.batches[0].payload
    assert () == found.unparsed


def origin(**about: Any) -> bytes:
    return json.dumps(about).encode()


@pytest.mark.parametrize(
    ("item", "cause"),
    [
        pytest.param(Record(b"{", b"p"), "JSONDecodeError", id="an origin that is no JSON"),
        pytest.param(Record(b"\xff", b"p"), "UnicodeDecodeError", id="an origin that is no text"),
        pytest.param(Record(b"[]", b"p"), "kind", id="an origin that is no object"),
        pytest.param(Record(origin(kind="x", received_at=1), b"p"), "kind", id="a kind that is unknown"),
        pytest.param(Record(origin(kind="http"), b"p"), "received_at", id="no time"),
        pytest.param(Record(origin(kind="http", received_at=-1), b"p"), "received_at", id="an odd time"),
        pytest.param(
            Record(origin(kind="unparsed", received_at=5, cause="why"), b"p"), "why", id="alslog kept it"
        ),
        pytest.param(
            Record(origin(kind="policy", received_at=5, version="v"), b"{}"), "KeyError", id="half a policy"
        ),
        pytest.param(Torn("a bit flipped", b"p"), "a bit flipped", id="torn"),
    ],
)
def test_what_is_no_batch_is_kept_raw(item: Record | Torn, cause: str) -> None:
    found = plan(SEGMENT, [item])

    assert () == found.batches
    (kept,) = found.unparsed
    assert cause in kept.cause
    assert item.payload == kept.payload
    assert kept.received_at in (5, int(SEGMENT[:20]))


def test_a_policy_is_read() -> None:
    texts = {"model": "[m]", "policy": "p, a", "model_path": "m", "policy_path": "p", "node": "h"}
    item = Record(origin(kind="policy", received_at=5, version="abc"), json.dumps(texts).encode())

    (policy,) = plan(SEGMENT, [item]).policies

    assert ("abc", 5, "[m]", "p, a") == (policy.version, policy.received_at, policy.model, policy.policy)


def test_a_batch_without_some_entries_keeps_its_id_and_order() -> None:
    (batch,) = plan(SEGMENT, [record("/0", "/1", "/2", "/3", "/4")]).batches

    rest = without(batch, [range(1, 2), range(3, 5)])

    assert (batch.id, 2, payload("/0", "/2")) == (rest.id, rest.rows, rest.payload)


def test_batches_of_one_source_are_in_the_order_of_time() -> None:
    found = plan(SEGMENT, [record(str(n), at=MIDNIGHT + n) for n in range(9)], Limits(rows=2))

    assert all(one.received_at < two.received_at for one, two in pairwise(found.batches))


@UNHURRIED
@given(RECORDS, LIMITS, st.integers(1, 400))
def test_every_batch_is_in_one_load_of_one_kind_and_one_day(
    records: list[Record], limits: Limits, about_bytes: int
) -> None:
    limits = Limits(limits.rows, limits.bytes, about_bytes)
    planned = plan(SEGMENT, records, limits).batches

    made = loads(planned, limits)

    assert set(planned) == {batch for load in made for batch in load.batches}
    assert len(planned) == sum(len(load.batches) for load in made)
    for load in made:
        assert 1 == len(
            {(batch.source.kind, batch.received_at // (86_400 * 10**9)) for batch in load.batches}
        )
        assert len(load.batches) == 1 or len(load.batches) * 50 < about_bytes
        assert load.rows <= limits.rows
        assert len(load.batches) == 1 or load.size <= limits.bytes


def test_a_load_has_a_token_of_its_own() -> None:
    one, two = plan(SEGMENT, [record("/1"), record("/2", node="other")]).batches

    tokens = [
        loads([one])[0].token,
        loads([two])[0].token,
        loads([one, two])[0].token,
        loads([two, one])[0].token,
    ]

    assert tokens[0].startswith(f"{one.id}+")
    assert 4 == len(set(tokens))
    assert tokens[2] == loads([one, two])[0].token


@pytest.mark.parametrize(
    "name", [pytest.param('é"\\' * 500, id="long"), pytest.param("\ud800x", id="a lone surrogate")]
)
def test_what_a_load_says_of_its_rows_fits_into_a_url(name: str) -> None:
    batches = plan(SEGMENT, [record("/", node=f"{number}{name}") for number in range(100)]).batches

    for load in loads(batches):
        said = urlencode(settings(load, load.token))
        assert len(said) < 48 * 1024
    assert 100 == len(batches)
