from __future__ import annotations

import json

import pytest
from alslog_process import message

from alslog.arrival import Identity, arrival_from, stranger
from alslog.wire import split
from protos.gen import als_pb2

NOW = 1_750_000_000_123_456_789
KNOWN = Identity("envoy-1", "edge")


def origin_of(raw: bytes, identity: Identity = KNOWN) -> dict[str, object]:
    _, arrival = arrival_from(raw, identity, NOW)
    assert arrival
    origin: dict[str, object] = json.loads(arrival.origin)
    return origin


def test_an_http_message_becomes_its_entries_with_their_origin() -> None:
    raw = message(["/a", "/b"], node="envoy-1", log_name="edge")
    identity, arrival = arrival_from(raw, stranger("unix:"), NOW)

    assert identity == KNOWN
    assert arrival
    assert arrival.entries == 2
    assert arrival.origin == (
        b'{"entries":2,"kind":"http","log_name":"edge","node":"envoy-1","received_at":1750000000123456789}'
    )
    assert arrival.payload == split(raw).entries


def test_a_tcp_message_is_of_kind_tcp() -> None:
    raw = als_pb2.StreamAccessLogsMessage(tcp_logs={"log_entry": [{}]}).SerializeToString()

    assert origin_of(raw)["kind"] == "tcp"


def test_a_later_message_keeps_the_streams_identity() -> None:
    assert origin_of(message(["/a"])) | {"received_at": 0} == {
        "entries": 1,
        "kind": "http",
        "log_name": "edge",
        "node": "envoy-1",
        "received_at": 0,
    }


def test_a_stream_that_never_says_whose_it_is_goes_by_its_peer() -> None:
    assert origin_of(message(["/a"]), stranger("ipv4:10.0.0.9:4711"))["node"] == "unknown:ipv4:10.0.0.9:4711"


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="empty"),
        pytest.param(message([], node="envoy-2", log_name="edge"), id="identifier alone"),
        pytest.param(b"\x12\x00", id="a list without entries"),
        pytest.param(b"\x52\x03abc", id="a field that we do not know"),
    ],
)
def test_a_message_without_entries_leaves_nothing_to_store(raw: bytes) -> None:
    assert arrival_from(raw, KNOWN, NOW)[1] is None


@pytest.mark.parametrize(
    ("raw", "cause"),
    [
        pytest.param(b"\xff", "a number does not end at offset 0", id="no tag"),
        pytest.param(b"\x12\x05ab", "field 2 runs past the end at offset 4", id="cut off"),
        pytest.param(
            b"\x12\x04\x0a\x09ab", "an entry runs past the end of its list at offset 6", id="entry too long"
        ),
        pytest.param(b"\x0f", "field 1 has the unusable wire type 7, at offset 1", id="wire type 7"),
        pytest.param(b"\x02\x00", "no field has the number 0, at offset 1", id="field 0"),
        pytest.param(b"\x0d\x00", "the message is cut off at offset 2", id="fixed32 cut off"),
        pytest.param(b"\x23\x08\x01", "the message is cut off at offset 3", id="group without end"),
    ],
)
def test_what_is_no_message_is_kept_as_it_came_with_the_cause(raw: bytes, cause: str) -> None:
    identity, arrival = arrival_from(raw, KNOWN, NOW)

    assert identity == KNOWN
    assert arrival
    assert (arrival.payload, arrival.unparsed, arrival.entries) == (raw, cause, 0)
    assert json.loads(arrival.origin) == {
        "cause": cause,
        "kind": "unparsed",
        "log_name": "edge",
        "node": "envoy-1",
        "received_at": NOW,
    }


def test_an_unreadable_identifier_does_not_cost_the_entries() -> None:
    raw = b"\x0a\x03\x12\x01\xff" + message(["/a"])
    identity, arrival = arrival_from(raw, stranger("unix:"), NOW)

    assert identity == stranger("unix:")
    assert arrival
    assert arrival.entries == 1


def test_names_are_cut_to_256_bytes_and_stay_utf_8() -> None:
    identity, _ = arrival_from(message(["/"], node="ü" * 200, log_name="x" * 300), KNOWN, NOW)

    assert identity == Identity("ü" * 128, "x" * 256)


def test_names_with_quotes_and_control_characters_stay_json() -> None:
    name = 'a"\n\0\u2028ü'

    assert origin_of(message(["/"], node=name))["node"] == name
