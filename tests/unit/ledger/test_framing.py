import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ledger.framing import framing, varint
from protos.gen import als_pb2 as als

# A busy machine is no failure.
UNHURRIED = hypothesis_settings(deadline=None)

HTTP = als.StreamAccessLogsMessage.HTTPAccessLogEntries


def entries(*paths: str) -> bytes:
    message = HTTP()
    for path in paths:
        message.log_entry.add().request.path = path
    return message.SerializeToString()


@UNHURRIED
@given(st.lists(st.text(max_size=400), max_size=20))
def test_every_entry_is_found_in_order(paths: list[str]) -> None:
    payload = entries(*paths)

    found = framing(payload)

    assert found.whole(payload)
    assert paths == [
        HTTP.FromString(payload[start:end]).log_entry[0].request.path for start, end in found.entries
    ]


@UNHURRIED
@given(st.lists(st.text(max_size=50)), st.lists(st.text(max_size=50)))
def test_payloads_may_be_joined_byte_by_byte(first: list[str], second: list[str]) -> None:
    joined = entries(*first) + entries(*second)

    assert len(first) + len(second) == len(framing(joined).entries)


@UNHURRIED
@given(st.binary(max_size=200))
def test_any_bytes_give_spans_that_do_not_overlap_and_an_end(payload: bytes) -> None:
    found = framing(payload)
    edges = [edge for span in found.entries for edge in span]

    assert sorted(edges) == edges
    assert 0 <= found.end <= len(payload)
    assert (found.end == len(payload)) == (found.cause == "")


@pytest.mark.parametrize(
    ("payload", "count", "end"),
    [
        pytest.param(b"", 0, 0, id="nothing"),
        pytest.param(b"\x0a\x00", 1, 2, id="an empty entry"),
        pytest.param(b"\x0a\x00\x0a\x05ab", 1, 2, id="an entry that is cut off"),
        pytest.param(b"\x0a\x00\x0a", 1, 2, id="a tag alone"),
        pytest.param(b"\x0a" + b"\xff" * 11, 0, 0, id="a length that does not end"),
        pytest.param(b"\x08\x01", 0, 0, id="field 1 that is a number"),
        pytest.param(b"\x00\x00", 0, 0, id="field 0"),
        pytest.param(b"\x13\x14", 0, 0, id="a group"),
        pytest.param(b"\x12\x01a\x0a\x00", 1, 5, id="another field is skipped"),
        pytest.param(b"\x10\x96\x01\x0a\x00", 1, 5, id="another field that is a varint"),
        pytest.param(b"\x11" + bytes(8) + b"\x15" + bytes(4) + b"\x0a\x00", 1, 16, id="fixed fields"),
        pytest.param(b"\x0a\x00\x15\x00", 1, 2, id="a fixed field that is cut off"),
    ],
)
def test_sense_ends_where_the_bytes_do(payload: bytes, count: int, end: int) -> None:
    found = framing(payload)

    assert (count, end) == (len(found.entries), found.end)


@UNHURRIED
@given(st.integers(0, 2**63))
def test_a_length_is_read_as_it_is_written(number: int) -> None:
    # A field that an entry never has: a number.
    assert framing(b"\x10" + varint(number)).end == 1 + len(varint(number))
