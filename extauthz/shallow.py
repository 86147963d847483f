"""A message without one of its fields, cut out of the bytes: what a parser refuses as a whole may be sound in part.

Protobuf's parser goes a hundred messages deep, a claim of a token three a level. Pure; no protobuf types.
"""

from __future__ import annotations

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: 8, _FIXED32: 4}
# Numbers up to that of nearly every length, as protobuf writes them.
_SHORT = (
    *(bytes((number,)) for number in range(0x80)),
    *(bytes((number & 0x7F | 0x80, number >> 7)) for number in range(0x80, 0x1000)),
)


def without(message: bytes, outer: int, inner: int) -> bytes:
    """The message, and in each of its fields `outer`, a message too, no field `inner`.

    Raises ValueError for bytes that are no message.
    """
    kept = bytearray()
    for number, start, content, end in _fields(message):
        if number != outer:
            kept += message[start:end]
            continue
        within = message[content:end]
        left = b"".join(within[first:last] for found, first, _, last in _fields(within) if found != inner)
        kept += bytes((outer << 3 | _LENGTH,)) + varint(len(left)) + left
    return bytes(kept)


def _fields(message: bytes) -> list[tuple[int, int, int, int]]:
    """Of each field its number, where it starts, where its content starts, and where it ends."""
    found, at = [], 0
    while at < len(message):
        start = at
        tag, at = _read(message, at)
        kind, content = tag & 7, at
        if kind == _LENGTH:
            size, content = _read(message, at)
            at = content + size
        elif kind == _VARINT:
            _, at = _read(message, at)
        elif kind in _FIXED:
            at += _FIXED[kind]
        else:
            raise ValueError(f"wire type {kind}")
        if at > len(message):
            raise ValueError("a field that ends behind the message")
        found.append((tag >> 3, start, content, at))
    return found


def _read(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        value |= (message[at] & 0x7F) << shift
        at += 1
        if not message[at - 1] & 0x80:
            return value, at
    raise ValueError("a number that does not end")


def varint(number: int) -> bytes:
    """A number as protobuf writes it."""
    if number < len(_SHORT):
        return _SHORT[number]
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
