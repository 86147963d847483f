"""Encodings of bodies and answers."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable

import lz4.frame
import pytest
import zstandard

from chserver.compression import Decompressor, chosen, compressor
from chserver.errors import ClickHouseError

DATA = bytes(range(256)) * 5000

ENCODINGS = [
    pytest.param("gzip", gzip.compress, gzip.decompress, id="gzip"),
    pytest.param("deflate", zlib.compress, zlib.decompress, id="deflate"),
    pytest.param("lz4", lz4.frame.compress, lz4.frame.decompress, id="lz4"),
    pytest.param(
        "zstd",
        zstandard.compress,
        lambda body: zstandard.ZstdDecompressor().decompressobj().decompress(body),
        id="zstd",
    ),
]

Bytes = Callable[[bytes], bytes]


def undone(encoding: str, body: bytes) -> bytes:
    undo = Decompressor(encoding)
    found = b"".join(piece for at in range(0, len(body), 777) for piece in undo.feed(body[at : at + 777]))
    undo.finish()
    return found


@pytest.mark.parametrize(("encoding", "pack", "unpack"), ENCODINGS)
def test_a_body_is_undone_piece_by_piece(encoding: str, pack: Bytes, unpack: Bytes) -> None:
    assert DATA == undone(encoding, pack(DATA))


@pytest.mark.parametrize(("encoding", "pack", "unpack"), ENCODINGS[:1] + ENCODINGS[2:])
def test_frames_in_a_row_are_one_body(encoding: str, pack: Bytes, unpack: Bytes) -> None:
    assert b"one two three" == undone(encoding, pack(b"one ") + pack(b"two ") + pack(b"three"))


@pytest.mark.parametrize(("encoding", "pack", "unpack"), ENCODINGS)
def test_an_answer_is_packed_piece_by_piece(encoding: str, pack: Bytes, unpack: Bytes) -> None:
    squeeze = compressor(encoding)

    packed = squeeze.compress(DATA[:1000]) + squeeze.compress(DATA[1000:]) + squeeze.flush()

    assert DATA == unpack(packed)


@pytest.mark.parametrize(("encoding", "pack", "unpack"), ENCODINGS)
def test_an_empty_answer_is_a_whole_frame(encoding: str, pack: Bytes, unpack: Bytes) -> None:
    assert b"" == unpack(compressor(encoding).flush())


@pytest.mark.parametrize(("encoding", "pack", "unpack"), ENCODINGS)
def test_a_body_that_ends_too_early_is_an_error(encoding: str, pack: Bytes, unpack: Bytes) -> None:
    with pytest.raises(ClickHouseError, match="ends too early"):
        undone(encoding, pack(DATA)[:-5])


@pytest.mark.parametrize(("encoding", "pack", "unpack"), ENCODINGS)
def test_broken_data_are_an_error(encoding: str, pack: Bytes, unpack: Bytes) -> None:
    with pytest.raises(ClickHouseError, match="Cannot decompress") as caught:
        undone(encoding, b"this is no frame of anything at all")

    assert 271 == caught.value.code


@pytest.mark.parametrize(("encoding", "pack", "unpack"), ENCODINGS)
def test_a_bomb_comes_in_parts_of_bounded_size(encoding: str, pack: Bytes, unpack: Bytes) -> None:
    bomb = pack(bytes(64 << 20))

    largest = max(len(piece) for piece in Decompressor(encoding).feed(bomb))

    assert largest <= 32 << 20


def test_an_unknown_encoding_is_an_error() -> None:
    with pytest.raises(ClickHouseError, match="snappy"):
        Decompressor("snappy")


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        pytest.param("gzip, deflate", "gzip", id="the first"),
        pytest.param("br, zstd;q=0.5", "zstd", id="the first that we can make"),
        pytest.param("LZ4", "lz4", id="any case"),
        pytest.param("gzip;q=0, zstd", "zstd", id="refused by the client"),
        pytest.param("identity", "", id="none"),
        pytest.param("", "", id="nothing said"),
    ],
)
def test_the_answer_takes_what_the_client_accepts(accepted: str, expected: str) -> None:
    assert expected == chosen(accepted)
