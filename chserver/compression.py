"""Request bodies and answers in gzip, deflate, lz4 (frames) and zstd, piece by piece."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Protocol

import lz4.frame
import zstandard

from chserver.errors import CANNOT_DECOMPRESS, UNKNOWN_COMPRESSION_METHOD, ClickHouseError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GZIP, ZLIB = 31, 15
# Bytes that are decompressed at once. zstd can make 128 KiB out of four bytes, so that even a bomb
# costs no more than 32 MiB before its size is looked at.
SLICE = 1024


class Compressor(Protocol):
    """Takes pieces, gives compressed pieces."""

    def compress(self, piece: bytes) -> bytes: ...

    def flush(self) -> bytes: ...


class _Frame(Protocol):
    """A decompressor of one frame."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes | None: ...

    def decompress(self, piece: bytes, /) -> bytes: ...


class _Plain:
    def compress(self, piece: bytes) -> bytes:
        return piece

    def flush(self) -> bytes:
        return b""


class _Lz4:
    def __init__(self) -> None:
        self._frame = lz4.frame.LZ4FrameCompressor()
        self._begun = False

    def _head(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        return bytes(self._frame.begin())

    def compress(self, piece: bytes) -> bytes:
        return self._head() + bytes(self._frame.compress(piece))

    def flush(self) -> bytes:
        return self._head() + bytes(self._frame.flush())


_COMPRESSORS: dict[str, Callable[[], Compressor]] = {
    "gzip": lambda: zlib.compressobj(1, zlib.DEFLATED, GZIP),
    "deflate": lambda: zlib.compressobj(1, zlib.DEFLATED, ZLIB),
    "lz4": _Lz4,
    "zstd": lambda: zstandard.ZstdCompressor(level=1).compressobj(),
}


def compressor(encoding: str) -> Compressor:
    """A compressor for an encoding that `chosen` gave; "" passes everything through."""
    return _COMPRESSORS[encoding]() if encoding else _Plain()


def chosen(accept_encoding: str) -> str:
    """The first encoding of an Accept-Encoding header that we can make; "" for none."""
    for part in accept_encoding.split(","):
        name, _, quality = part.strip().partition(";")
        if name.strip().lower() in _COMPRESSORS and quality.replace(" ", "") not in {"q=0", "q=0.0"}:
            return name.strip().lower()
    return ""


class Decompressor:
    """Undoes a Content-Encoding; several frames or members in a row are one body, as clients send them."""

    def __init__(self, encoding: str) -> None:
        """Raises ClickHouseError for an encoding that there is not."""
        self._encoding = encoding.strip().lower()
        if self._encoding not in {"", "identity", *_COMPRESSORS}:
            raise ClickHouseError(
                UNKNOWN_COMPRESSION_METHOD,
                f"Unknown Content-Encoding {encoding!r}; use {', '.join(_COMPRESSORS)} or none",
            )
        self._plain = self._encoding in {"", "identity"}
        self._frame: _Frame = self._new()
        self._begun = False

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """The bytes that `piece` stands for, in parts of bounded size. Raises ClickHouseError for broken data."""
        if self._plain:
            yield piece
            return
        for at in range(0, len(piece), SLICE):
            yield from self._undo(piece[at : at + SLICE])

    def _undo(self, piece: bytes) -> Iterator[bytes]:
        while piece:
            self._begun = True
            try:
                yield self._frame.decompress(piece)
            except (zlib.error, zstandard.ZstdError, RuntimeError, EOFError) as error:
                raise ClickHouseError(
                    CANNOT_DECOMPRESS, f"Cannot decompress the {self._encoding} body: {error}"
                ) from error
            piece = b""
            if self._frame.eof:
                piece = self._frame.unused_data or b""
                self._frame, self._begun = self._new(), False

    def finish(self) -> None:
        """Raises ClickHouseError if the body ended in the middle."""
        if self._begun:
            raise ClickHouseError(CANNOT_DECOMPRESS, f"The {self._encoding} body ends too early")

    def _new(self) -> _Frame:
        if self._encoding == "lz4":
            frame: _Frame = lz4.frame.LZ4FrameDecompressor()
            return frame
        if self._encoding == "zstd":
            return zstandard.ZstdDecompressor().decompressobj()
        return zlib.decompressobj(GZIP if self._encoding == "gzip" else ZLIB)
