"""Names for decisions: UUID version 7 (RFC 9562), so that they sort by time."""

from __future__ import annotations

RANDOM_BYTES = 10


def uuid7(unix_ms: int, random: bytes) -> str:
    """The UUIDv7 of a time (milliseconds since 1970, 48 bits) and ten random bytes, in text form."""
    noise = int.from_bytes(random[:RANDOM_BYTES], "big")
    value = (
        (unix_ms & 0xFFFF_FFFF_FFFF) << 80
        | 0x7 << 76
        | (noise >> 68 & 0xFFF) << 64
        | 0b10 << 62
        | noise & 0x3FFF_FFFF_FFFF_FFFF
    )
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
