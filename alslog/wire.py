"""The outer framing of StreamAccessLogsMessage, read without building an object per entry. Pure.

    StreamAccessLogsMessage := { identifier = 1 | http_logs = 2 | tcp_logs = 3 | others }
    http_logs, tcp_logs     := { log_entry = 1 | others }

What protobuf's rules say holds: fields come in any order, unknown ones and known numbers with
another wire type are skipped, of http_logs and tcp_logs the last one wins, and a message that
comes in pieces is the pieces one after the other. What is inside an entry is not looked at.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

Kind = Literal["http", "tcp"]

_VARINT, _I64, _LEN, _START_GROUP, _END_GROUP, _I32 = range(6)
_FIXED = {_I64: 8, _I32: 4}
_KINDS: dict[int, Kind] = {2: "http", 3: "tcp"}
# Field 1 with a length, in its shortest form: how every writer spells a log_entry.
_ENTRY_TAG = 0x0A
# An entry's tag, and the two bytes behind it: nearly every entry has 128 bytes to 16 KiB.
_TAG_AND_TWO = struct.Struct("<BH")
# By these two bytes, how long tag, length and entry are; 0 where they are not the whole length. One look into a table
# halves what an entry costs here.
_LONG = tuple(3 + (two & 0x7F | two >> 1 & 0x3F80) if two & 0x8080 == 0x80 else 0 for two in range(1 << 16))
# As protobuf's own parsers: a tag or length takes at most 5 bytes, a value 10, groups nest 100 deep.
_SHORT_VARINT_BYTES, _VARINT_BYTES, _MAX_GROUPS = 5, 10, 100
_MAX_TAG = 2**32 - 1
_MAX_LENGTH = 2**31 - 1


class WireError(ValueError):
    """Bytes that are no StreamAccessLogsMessage. The message says what is wrong at which offset."""


@dataclass(frozen=True, slots=True)
class Split:
    """A message in parts.

    `identifier`: the bytes of Identifier, None if there was none. `entries`: `count` times tag 0x0a,
    length and entry, nothing else; so the entries of several messages of one kind may be joined.
    """

    identifier: bytes | None
    kind: Kind | None
    entries: bytes | memoryview
    count: int


def split(message: bytes) -> Split:
    """The parts of a StreamAccessLogsMessage. Raises WireError, and nothing else, whatever the bytes."""
    identifier: bytes | None = None
    kind: Kind | None = None
    parts: list[bytes | memoryview] = []
    count = 0
    for number, start, end in _fields(message, 0, len(message)):
        if number == 1:
            identifier = (identifier or b"") + message[start:end]
        elif number in _KINDS:
            if kind != _KINDS[number]:
                kind, parts, count = _KINDS[number], [], 0
            part, entries = _entries(message, start, end)
            parts.append(part)
            count += entries
    return Split(identifier, kind, parts[0] if len(parts) == 1 else b"".join(parts), count)


def _entries(data: bytes, start: int, end: int) -> tuple[bytes | memoryview, int]:
    """The log_entry fields between the offsets, not copied, and their number."""
    at, count, last = start, 0, end - _TAG_AND_TWO.size
    unpack, long = _TAG_AND_TWO.unpack_from, _LONG
    while at <= last:
        tag, two = unpack(data, at)
        if tag != _ENTRY_TAG:
            return _only_entries(data, start, end)
        size = long[two]
        at = at + size if size else _behind(data, at, end)
        count += 1
    while at < end:
        if data[at] != _ENTRY_TAG:
            return _only_entries(data, start, end)
        at = _behind(data, at, end)
        count += 1
    if at > end:
        raise WireError(f"an entry runs past the end of its list at offset {end}")
    return memoryview(data)[start:end], count


def _behind(data: bytes, at: int, end: int) -> int:
    """The offset behind the entry whose tag stands here."""
    length, at = _varint(data, at + 1, end, _SHORT_VARINT_BYTES)
    return at + length


def _only_entries(data: bytes, start: int, end: int) -> tuple[bytes, int]:
    """As `_entries` for a list with other fields in it, which are left out."""
    found = [data[first:last] for number, first, last in _fields(data, start, end) if number == 1]
    return b"".join(bytes((_ENTRY_TAG,)) + _encoded(len(entry)) + entry for entry in found), len(found)


def _fields(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number, start and end of each field with a length, groups and other wire types skipped."""
    groups: list[int] = []
    while at < end:
        tag, at = _varint(data, at, end, _SHORT_VARINT_BYTES)
        number, wire_type = tag >> 3, tag & 7
        if not number or tag > _MAX_TAG:
            raise WireError(f"no field has the number {number}, at offset {at}")
        if wire_type == _LEN:
            length, at = _varint(data, at, end, _SHORT_VARINT_BYTES)
            if length > min(end - at, _MAX_LENGTH):
                raise WireError(f"field {number} runs past the end at offset {end}")
            if not groups:
                yield number, at, at + length
            at += length
        else:
            at = _skip(data, at, end, tag, groups)
    if at > end or groups:
        raise WireError(f"the message is cut off at offset {end}")


def _skip(data: bytes, at: int, end: int, tag: int, groups: list[int]) -> int:
    """The offset behind a value without a length; groups that begin or end change `groups`."""
    number, wire_type = tag >> 3, tag & 7
    if wire_type == _VARINT:
        return _varint(data, at, end, _VARINT_BYTES)[1]
    if wire_type in _FIXED:
        return at + _FIXED[wire_type]
    if wire_type == _START_GROUP and len(groups) < _MAX_GROUPS:
        groups.append(number)
        return at
    if wire_type == _END_GROUP and groups and groups[-1] == number:
        groups.pop()
        return at
    raise WireError(f"field {number} has the unusable wire type {wire_type}, at offset {at}")


def _varint(data: bytes, at: int, end: int, longest: int) -> tuple[int, int]:
    """The number that starts here, and the offset behind it."""
    value = shift = 0
    for here in range(at, min(end, at + longest)):
        byte = data[here]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, here + 1
        shift += 7
    raise WireError(f"a number does not end at offset {at}")


def _encoded(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
