"""Rows of one column of bytes as ClickHouse's FORMAT ProtobufList."""

from __future__ import annotations


def varint(number: int) -> bytes:
    """Of a number below 2**28, always in four bytes."""
    return bytes(number >> shift & 127 | 128 for shift in (0, 7, 14)) + bytes([number >> 21])


def field(data: bytes) -> bytes:
    return b"\x0a" + varint(len(data)) + data


def listed(rows: list[bytes]) -> bytes:
    """FORMAT ProtobufList of rows with one column."""
    message = b"".join(field(field(row)) for row in rows)
    return varint(len(message)) + message
