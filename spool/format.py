"""The bytes of a segment. Pure: no files, no clock.

    segment := header record* [seal]          all integers little-endian
    header  := magic "GLSPOOL1" | created u64 (unix ns) | salt u64 | crc u32
    record  := magic "GLR1" | index u32 | origin length u32 | payload length u32
               | crc of origin and payload u32 | crc of this frame's fields u32 | origin | payload
    seal    := magic "GLS1" | count of records u32 | offset of the seal u64 | 0 u32 | crc u32

Every frame's own crc starts from the header's crc, which the random salt makes different for each
segment: stale blocks of another file, or a frame inside somebody's payload, are never taken for
this segment's. `index` counts from 0 without gaps, so a record that vanished is noticed too.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

# zlib's CRC-32, five times as fast: it is half of what reading and checking a segment costs.
from isal.isal_zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEADER = struct.Struct("<8sQQI")
_FRAME = struct.Struct("<4sIIIII")
_SEAL = struct.Struct("<4sIQII")
_CRC = struct.Struct("<I")
_HEADER_MAGIC = b"GLSPOOL1"
_RECORD_MAGIC = b"GLR1"
_SEAL_MAGIC = b"GLS1"

HEADER_BYTES = _HEADER.size
FRAME_BYTES = _FRAME.size
SEAL_BYTES = _SEAL.size
MAX_PART_BYTES = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Record:
    """One record. Its payload may be a part of something larger, which is not copied."""

    origin: bytes
    payload: bytes | memoryview


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes that are no record: where they are, how many, and why."""

    offset: int
    length: int
    cause: str


@dataclass(frozen=True, slots=True)
class Found:
    """A valid record and the offset behind it."""

    index: int
    end: int
    record: Record


@dataclass(frozen=True, slots=True)
class Seal:
    """The end of a segment that was finished in order."""

    count: int
    end: int


def header(created_ns: int, salt: int) -> bytes:
    """The first bytes of a segment."""
    fields = _HEADER.pack(_HEADER_MAGIC, created_ns, salt, 0)[: -_CRC.size]
    return fields + _CRC.pack(crc32(fields))


def seed_of(head: bytes) -> int | None:
    """What the frames' checksums of this segment start from; None when the header is damaged."""
    if len(head) < HEADER_BYTES:
        return None
    magic, _, _, crc = _HEADER.unpack_from(head)
    if magic != _HEADER_MAGIC or crc != crc32(head[: HEADER_BYTES - _CRC.size]):
        return None
    return int(crc)


def holder(head: bytes) -> str | None:
    """The name of the segment that a header is of; None when it is damaged."""
    if seed_of(head) is None:
        return None
    _, created_ns, salt, _ = _HEADER.unpack_from(head)
    return f"{created_ns:020d}-{salt:016x}"


def torn_bytes(data: bytes, seed: int, end: int) -> int:
    """How much there is of a record that begins at `end`, behind the last whole one, and was cut off; 0 without one."""
    lengths = _lengths(data, seed, end)
    return min(len(data) - end, FRAME_BYTES + lengths[1] + lengths[2]) if lengths else 0


def frame(seed: int, index: int, origin: bytes, payload: bytes | memoryview) -> bytes:
    """What stands before the record's origin and payload."""
    body = crc32(payload, crc32(origin))
    fields = _FRAME.pack(_RECORD_MAGIC, index, len(origin), len(payload), body, 0)[: -_CRC.size]
    return fields + _CRC.pack(crc32(fields, seed))


def seal(seed: int, count: int, offset: int) -> bytes:
    """The last bytes of a segment of `count` records."""
    fields = _SEAL.pack(_SEAL_MAGIC, count, offset, 0, 0)[: -_CRC.size]
    return fields + _CRC.pack(crc32(fields, seed))


def scan(data: bytes, *, views: bool = False) -> Iterator[Found | Damage | Seal]:
    """Every valid record of a segment's bytes in order, the damage between them, and the seal if any.

    `views`: payloads are memoryviews of the data in place of bytes.
    Never raises. A Damage that is the last item of an unsealed segment is its torn tail.
    """
    seed = seed_of(data)
    offset, index = HEADER_BYTES, 0
    if seed is None:
        seed, offset, index = _without_header(data)
        yield Damage(0, offset, "the segment's header is damaged")
    while offset < len(data):
        item = _item_at(data, seed, offset, index, views=views)
        if isinstance(item, Damage):
            offset, index = _next_valid(data, seed, item.offset + item.length, index)
            yield Damage(item.offset, offset - item.offset, item.cause)
            continue
        yield item
        offset = item.end
        if isinstance(item, Seal):
            if offset < len(data):
                yield Damage(offset, len(data) - offset, "bytes follow the seal")
            return
        index += 1


def _without_header(data: bytes) -> tuple[int, int, int]:
    """Seed, and offset and index of the first frame to trust, when the header is damaged.

    One of the header's two halves is usually whole: its crc, or the fields that the crc was made of.
    """
    head = data[:HEADER_BYTES]
    if len(head) == HEADER_BYTES:
        fields, stored = head[: -_CRC.size], head[-_CRC.size :]
        for seed in (int.from_bytes(stored, "little"), crc32(fields)):
            offset, index = _next_valid(data, seed, HEADER_BYTES, 0)
            if offset < len(data):
                return seed, offset, index
    return 0, len(data), 0


def _item_at(data: bytes, seed: int, offset: int, index: int, *, views: bool) -> Found | Damage | Seal:
    """What stands at the offset; for Damage, `length` is what may be skipped without a look."""
    if _seal_count(data, seed, offset) == index:
        return Seal(index, offset + SEAL_BYTES)
    lengths = _lengths(data, seed, offset)
    if lengths is None or lengths[0] != index:
        # Nothing is skipped unseen: a later record of this segment may stand right here.
        return Damage(offset, 0, "no valid record, or not the next one, starts here")
    _, origin_bytes, payload_bytes, body_crc = lengths
    start = offset + FRAME_BYTES
    middle, end = start + origin_bytes, start + origin_bytes + payload_bytes
    if end > len(data):
        return Damage(offset, 1, "the record is cut off")
    payload = memoryview(data)[middle:end] if views else data[middle:end]
    record = Record(data[start:middle], payload)
    if crc32(record.payload, crc32(record.origin)) != body_crc:
        return Damage(offset, end - offset, "the record's content does not match its checksum")
    return Found(index, end, record)


def _next_valid(data: bytes, seed: int, start: int, index: int) -> tuple[int, int]:
    """Offset and index of the first frame at or after `start` that belongs to this segment, else the end."""
    offset = data.find(b"GL", start)
    while offset >= 0:
        lengths = _lengths(data, seed, offset)
        if lengths is not None and lengths[0] >= index:
            return offset, lengths[0]
        count = _seal_count(data, seed, offset)
        if count is not None and count >= index:
            return offset, count
        offset = data.find(b"GL", offset + 1)
    return len(data), index


def _lengths(data: bytes, seed: int, offset: int) -> tuple[int, int, int, int] | None:
    """Index, origin length, payload length and body crc of a frame, if one starts here."""
    fields = data[offset : offset + FRAME_BYTES]
    if len(fields) < FRAME_BYTES or not fields.startswith(_RECORD_MAGIC):
        return None
    _, index, origin_bytes, payload_bytes, body_crc, crc = _FRAME.unpack(fields)
    if crc != crc32(fields[: -_CRC.size], seed):
        return None
    return index, origin_bytes, payload_bytes, body_crc


def _seal_count(data: bytes, seed: int, offset: int) -> int | None:
    fields = data[offset : offset + SEAL_BYTES]
    if len(fields) < SEAL_BYTES or not fields.startswith(_SEAL_MAGIC):
        return None
    _, count, at, _, crc = _SEAL.unpack(fields)
    return int(count) if crc == crc32(fields[: -_CRC.size], seed) and at == offset else None
