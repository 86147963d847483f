"""The outer scanner of access log messages against protobuf's own parser."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from hypothesis import example, given, settings
from hypothesis import strategies as st

from alslog.wire import Split, WireError, split
from protos.gen import accesslog_pb2, als_pb2

Message = als_pb2.StreamAccessLogsMessage


def varint(value: int, padding: int = 0) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value | (0x80 if padding else 0))
    out += b"\x80" * (padding - 1) + (b"\x00" if padding else b"")
    return bytes(out)


def with_length(number: int, content: bytes, padding: int = 0) -> bytes:
    return varint(number << 3 | 2, padding) + varint(len(content), padding) + content


paddings = st.sampled_from([0, 0, 0, 1])
http_entries = st.builds(
    lambda path, code: with_length(
        1,
        accesslog_pb2.HTTPAccessLogEntry(
            request={"path": path, "request_headers": {"a": path}}, response={"response_code_details": code}
        ).SerializeToString(),
    ),
    st.text(max_size=200),
    st.text(max_size=10),
)
tcp_entries = st.builds(
    lambda tag, count: with_length(
        1,
        accesslog_pb2.TCPAccessLogEntry(
            common_properties={"custom_tags": {"tag": tag}}, connection_properties={"received_bytes": count}
        ).SerializeToString(),
    ),
    st.text(max_size=200),
    st.integers(0, 2**64 - 1),
)
unknown_scalars = st.one_of(
    st.builds(lambda n, v: varint(n << 3) + varint(v), st.integers(4, 99), st.integers(0, 2**64 - 1)),
    st.builds(lambda n, v: varint(n << 3 | 1) + v, st.integers(1, 99), st.binary(min_size=8, max_size=8)),
    st.builds(lambda n, v: varint(n << 3 | 5) + v, st.integers(1, 99), st.binary(min_size=4, max_size=4)),
)
unknown_groups = st.recursive(
    unknown_scalars,
    lambda inner: st.builds(
        lambda n, parts: varint(n << 3 | 3) + b"".join(parts) + varint(n << 3 | 4),
        st.integers(1, 99),
        st.lists(inner, max_size=3),
    ),
    max_leaves=5,
)
others = unknown_groups.filter(lambda field: field[0] >> 3 > 3 or field[0] & 7 in {1, 5})
http_lists = st.lists(http_entries | others, max_size=4).map(b"".join)
tcp_lists = st.lists(tcp_entries | others, max_size=4).map(b"".join)
identifiers = st.builds(
    lambda log_name, node: Message.Identifier(log_name=log_name, node={"id": node}).SerializeToString(),
    st.text(max_size=20),
    st.text(max_size=20),
)
fields = st.one_of(
    st.builds(with_length, st.just(1), identifiers, paddings),
    st.builds(with_length, st.just(2), http_lists, paddings),
    st.builds(with_length, st.just(3), tcp_lists, paddings),
    st.builds(with_length, st.integers(4, 2**29 - 1), st.binary(max_size=20)),
    unknown_groups,
)
messages = st.lists(fields, max_size=6).map(b"".join)


def expected(message: Message) -> Split:
    """What protobuf read, in the scanner's terms."""
    which = message.WhichOneof("log_entries")
    entries = getattr(message, which) if which else None
    return Split(
        identifier=message.identifier.SerializeToString() if message.HasField("identifier") else None,
        kind={"http_logs": "http", "tcp_logs": "tcp", None: None}[which],
        entries=b"".join(with_length(1, entry.SerializeToString()) for entry in entries.log_entry)
        if entries
        else b"",
        count=len(entries.log_entry) if entries else 0,
    )


def normal(parts: Split) -> Split:
    """The same parts as protobuf would write them again."""
    entries = {
        "http": Message.HTTPAccessLogEntries,
        "tcp": Message.TCPAccessLogEntries,
        None: Message.HTTPAccessLogEntries,
    }[parts.kind].FromString(parts.entries)
    assert len(entries.log_entry) == parts.count
    return Split(
        Message.Identifier.FromString(parts.identifier).SerializeToString()
        if parts.identifier is not None
        else None,
        parts.kind,
        b"".join(with_length(1, entry.SerializeToString()) for entry in entries.log_entry),
        parts.count,
    )


@given(messages)
@settings(max_examples=400, deadline=None)
def test_split_agrees_with_protobuf_on_every_message_that_protobuf_reads(message: bytes) -> None:
    parsed = Message.FromString(message)

    assert expected(parsed) == normal(split(message))


@given(
    st.binary(max_size=60)
    | st.builds(lambda m, cut, tail: m[:cut] + tail, messages, st.integers(0, 99), st.binary(max_size=4))
)
@example(b"\x12\x04\x0a\x05ab")
@example(b"\x1b" * 101)
@example(b"\x80" * 11)
@example(b"\x12\x02\x0a\x80")
@settings(max_examples=600, deadline=None)
def test_split_raises_nothing_but_its_own_error_and_never_refuses_what_protobuf_reads(data: bytes) -> None:
    try:
        parts = split(data)
    except WireError:
        with pytest.raises(DecodeError):
            Message.FromString(data)
        return

    at = 0
    for _ in range(parts.count):
        assert parts.entries[at] == 0x0A
        at += 1
        length = shift = 0
        while True:
            byte = parts.entries[at]
            at += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        at += length
    assert len(parts.entries) == at
