"""HPACK (RFC 7541), the reading side: header blocks of one connection, in their order.

We ask for a dynamic table of size zero, but until the peer has taken that in it may use the 4,096 bytes
that every connection begins with.
"""

from __future__ import annotations

from collections import deque

from extauthz.http2.huffman import HuffmanError, decode

DEFAULT_TABLE_BYTES = 4_096
_ENTRY_OVERHEAD = 32
# A length or index of five bytes more says all that a frame can hold.
_MAX_INTEGER = 2**28

Header = tuple[bytes, bytes]

STATIC: tuple[Header, ...] = tuple(
    (name, value)
    for name, _, value in (
        line.partition(b"=")
        for line in (
            b":authority",
            b":method=GET",
            b":method=POST",
            b":path=/",
            b":path=/index.html",
            b":scheme=http",
            b":scheme=https",
            *(b":status=" + status for status in b"200 204 206 304 400 404 500".split()),
            b"accept-charset",
            b"accept-encoding=gzip, deflate",
            *(
                b"accept-language accept-ranges accept access-control-allow-origin age allow authorization "
                b"cache-control content-disposition content-encoding content-language content-length "
                b"content-location content-range content-type cookie date etag expect expires from host "
                b"if-match if-modified-since if-none-match if-range if-unmodified-since last-modified link "
                b"location max-forwards proxy-authenticate proxy-authorization range referer refresh "
                b"retry-after server set-cookie strict-transport-security transfer-encoding user-agent vary "
                b"via www-authenticate"
            ).split(),
        )
    )
)


class HpackError(ValueError):
    """A header block that cannot be read; nothing after it on this connection can be either."""


class Decoder:
    """Reads blocks. `max_list_bytes` bounds what a block becomes, as SETTINGS_MAX_HEADER_LIST_SIZE counts."""

    def __init__(self, max_list_bytes: int) -> None:
        self.capacity = DEFAULT_TABLE_BYTES
        self._limit = DEFAULT_TABLE_BYTES
        self._table: deque[Header] = deque()
        self._size = 0
        self._max_list_bytes = max_list_bytes

    def acknowledged(self, limit: int) -> None:
        """The peer knows of a SETTINGS_HEADER_TABLE_SIZE, and may ask for no larger table any more.

        Its next block should say so where its table was larger (4.2). Some peers do not, and go on with the
        table that they have: it is theirs to shrink, and small.
        """
        self._limit = limit

    def decode(self, block: bytes) -> list[Header] | None:
        """The headers of a block; None where they are more than the limit. Raises HpackError."""
        try:
            return self._decode(block)
        except IndexError:
            raise HpackError("a header block that ends too early") from None
        except HuffmanError as error:
            raise HpackError(str(error)) from error

    def _decode(self, block: bytes) -> list[Header] | None:
        headers: list[Header] = []
        size, at = 0, self._sized(block)
        while at < len(block):
            first = block[at]
            if first & 0x80:
                index, at = _integer(block, at, 7)
                header = self._at(index)
            elif first & 0xE0 == 0x20:
                raise HpackError("a change of the table's size after a header")
            else:
                # The whole block is read, whatever its size: the table has to stay as the peer's is.
                header, at = self._literal(block, at, 6 if first & 0x40 else 4)
                if first & 0x40:
                    self._keep(header)
            size += _ENTRY_OVERHEAD + len(header[0]) + len(header[1])
            if size <= self._max_list_bytes:
                headers.append(header)
        return headers if size <= self._max_list_bytes else None

    def _sized(self, block: bytes) -> int:
        """Take in the changes of the table's size at a block's beginning; where they end."""
        at = 0
        while at < len(block) and block[at] & 0xE0 == 0x20:
            size, at = _integer(block, at, 5)
            if size > self._limit:
                raise HpackError(f"a table of {size} bytes; {self._limit} is the limit")
            self.capacity = size
            self._evict(0)
        return at

    def _literal(self, block: bytes, at: int, prefix: int) -> tuple[Header, int]:
        index, at = _integer(block, at, prefix)
        if index:
            name = self._at(index)[0]
        else:
            name, at = _text(block, at)
        value, at = _text(block, at)
        return (name, value), at

    def _at(self, index: int) -> Header:
        if 0 < index <= len(STATIC):
            return STATIC[index - 1]
        if not 0 < index <= len(STATIC) + len(self._table):
            raise HpackError(f"index {index} is in no table")
        return self._table[index - len(STATIC) - 1]

    def _keep(self, header: Header) -> None:
        size = _ENTRY_OVERHEAD + len(header[0]) + len(header[1])
        self._evict(size)
        if size <= self.capacity:
            self._table.appendleft(header)
            self._size += size

    def _evict(self, room: int) -> None:
        """Let the oldest go until there is so much room (4.4); all of them where there is never enough."""
        while self._table and self._size + room > self.capacity:
            name, value = self._table.pop()
            self._size -= _ENTRY_OVERHEAD + len(name) + len(value)


def _integer(block: bytes, at: int, bits: int) -> tuple[int, int]:
    """An integer behind a prefix of so many bits (5.1), and where it ends."""
    mask = (1 << bits) - 1
    value = block[at] & mask
    at += 1
    if value < mask:
        return value, at
    shift = 0
    while True:
        byte = block[at]
        at += 1
        value += (byte & 0x7F) << shift
        shift += 7
        if value > _MAX_INTEGER or shift > 35:
            raise HpackError("an integer that no frame has room for")
        if not byte & 0x80:
            return value, at


def _text(block: bytes, at: int) -> tuple[bytes, int]:
    coded = block[at] & 0x80
    length, at = _integer(block, at, 7)
    end = at + length
    if end > len(block):
        raise HpackError("a header block that ends too early")
    text = block[at:end]
    return (decode(text) if coded else text), end


def literal(name: bytes, value: bytes) -> bytes:
    """A header for a peer: literal, in no table, not coded; `name` may be one of the static table."""
    index = next((place for place, entry in enumerate(STATIC, 1) if entry[0] == name), 0)
    if not index:
        return b"\x00" + _length(len(name)) + name + _length(len(value)) + value
    head = bytes((index,)) if index < 15 else bytes((15, index - 15))
    return head + _length(len(value)) + value


def _length(length: int) -> bytes:
    """A text's length, not coded (5.2)."""
    if length < 0x7F:
        return bytes((length,))
    rest = length - 0x7F
    out = bytearray(b"\x7f")
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)
