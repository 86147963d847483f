"""Bytes of clients of extauthz.http2, cut into pieces, and taken apart into frames."""

from __future__ import annotations

import random

from extauthz.http2 import frames


def cut_up(chance: random.Random, said: list[bytes], data: bytes, way: str) -> list[bytes]:
    """Frame by frame, all at once, byte by byte, or cut anywhere."""
    if way == "frames":
        return said
    if way == "whole":
        return [data]
    if way == "bytes":
        return [data[at : at + 1] for at in range(len(data))]
    places = sorted(chance.randrange(len(data) + 1) for _ in range(chance.choice((1, 5, 40))))
    return [data[start:stop] for start, stop in zip([0, *places], [*places, len(data)], strict=True)]


def frames_of(said: bytes) -> list[tuple[int, int, int, bytes]]:
    """Kind, flags, stream and payload of all that is whole behind a preface, by their heads alone."""
    found, at = [], len(frames.PREFACE)
    while len(said) - at >= frames.HEAD_BYTES:
        start = at + frames.HEAD_BYTES
        stop = start + int.from_bytes(said[at : at + 3])
        number = int.from_bytes(said[at + 5 : start]) & frames.STREAM_MASK
        found.append((said[at + 3], said[at + 4], number, said[start:stop]))
        at = stop
    return found
