"""Where each entry begins and ends in the bytes that Envoy sent. Pure.

HTTPAccessLogEntries and TCPAccessLogEntries are both `repeated … log_entry = 1`: on the wire a tag, a
length and an entry, again and again. So an entry is found, counted, cut out or joined to others
without being decoded.
"""

from __future__ import annotations

from dataclasses import dataclass

_ENTRY = 0x0A  # field 1, length-delimited
_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5
_MAX_VARINT_BYTES = 10


class _BrokenError(ValueError):
    """Bytes that are no field."""


@dataclass(frozen=True, slots=True)
class Framing:
    """`entries`: start and end of each, its tag and length included. `end`: where the sense stops.

    Fields that are not entries are skipped, as protobuf asks of readers; they are in no span.
    """

    entries: tuple[tuple[int, int], ...]
    end: int
    cause: str = ""

    def whole(self, payload: bytes | memoryview) -> bool:
        """Whether the payload is entries from end to end, and nothing else."""
        return self.end == len(payload) == sum(end - start for start, end in self.entries)


def framing(payload: bytes | memoryview) -> Framing:
    """The entries of a payload, up to the first byte that is no field."""
    entries: list[tuple[int, int]] = []
    position, size = 0, len(payload)
    try:
        while position < size:
            start = position
            is_entry = payload[position] == _ENTRY
            position = _after_bytes(payload, position + 1) if is_entry else _after_other(payload, position)
            if is_entry:
                entries.append((start, position))
    except _BrokenError as error:
        return Framing(tuple(entries), start, str(error))
    return Framing(tuple(entries), size)


def varint(number: int) -> bytes:
    """A number as protobuf writes lengths."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _after_bytes(payload: bytes | memoryview, position: int) -> int:
    length, position = _number(payload, position)
    if position + length > len(payload):
        raise _BrokenError(f"{length} bytes announced, of which {len(payload) - position} came")
    return position + length


def _after_other(payload: bytes | memoryview, position: int) -> int:
    tag, position = _number(payload, position)
    kind, field = tag & 7, tag >> 3
    if field == 0 or (field == 1 and kind != _DELIMITED):
        raise _BrokenError(f"no field: tag {tag}")
    if kind == _DELIMITED:
        return _after_bytes(payload, position)
    if kind == _VARINT:
        return _number(payload, position)[1]
    if kind not in (_FIXED32, _FIXED64):
        raise _BrokenError(f"a field of wire type {kind}")
    position += 4 if kind == _FIXED32 else 8
    if position > len(payload):
        raise _BrokenError("a number that ends too soon")
    return position


def _number(payload: bytes | memoryview, position: int) -> tuple[int, int]:
    value, shift, size = 0, 0, len(payload)
    while position < size and shift < 7 * _MAX_VARINT_BYTES:
        byte = payload[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise _BrokenError("a length that does not end")
