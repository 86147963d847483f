"""From frames to calls: headers and data of one connection's streams (RFC 9113, 6.1, 6.2, 6.10 and 8)."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING

from extauthz.http2 import frames
from extauthz.http2.frames import STREAM_MASK, ConnectionFault, ErrorCode, StreamFault
from extauthz.http2.head import Head, Malformed, head_of, is_trailers
from extauthz.http2.hpack import Decoder, HpackError
from extauthz.http2.status import RpcError, Status
from extauthz.http2.stream import PREFIX_BYTES, Stream
from extauthz.http2.streams import Streams

if TYPE_CHECKING:
    from extauthz.http2.hpack import Header
    from extauthz.http2.method import Method
    from extauthz.http2.server import Call, Server

# A DATA frame with less, that does not end its message, does nothing but cost.
_TINY_BYTES = 64
_TOO_MUCH = Head(status=Status.RESOURCE_EXHAUSTED, text="headers larger than this server takes")


class _Usual:
    """What usual calls begin with: a whole header block without surprises, and what it means."""

    __slots__ = ("around", "block", "head", "length_kind", "method", "unpack")

    def __init__(self, block: bytes, head: Head, method: Method) -> None:
        self.block = block
        self.head = head
        self.method = method
        # Of the block's frame, as `unpack` gives it.
        self.length_kind = len(block) << 8 | frames.HEADERS
        # Both frames' heads, the block between them, and the message's prefix.
        both = _both_frames(len(block))
        self.unpack = both.unpack_from
        self.around = both.size


class Requests(Streams):
    """The receiving side of a connection's streams; each whole call goes to the server."""

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        # What the next calls probably are: like the last one whose headers were known.
        self._usual: _Usual | None = None
        self._most_usual = min(self.limits.message_bytes, frames.MAX_FRAME_BYTES) - PREFIX_BYTES
        self._hpack = Decoder(self.limits.header_list_bytes)
        # The block that CONTINUATION frames still add to: stream, flags, parts.
        self._block: tuple[int, int, list[bytes]] | None = None

    def _usual_calls(self, usual: _Usual, data: bytes, at: int) -> int:
        """Take the calls that stand at `at` one after another, as long as they are usual; where they end.

        Nearly all are: the headers are those of the call before, byte for byte, and the frame behind them is the
        whole message. This is what `_on_headers` and `_on_data` do with such two frames, at once; nothing is taken
        of a call that is not quite so, which then comes frame by frame.
        """
        if self._block or self.draining or self._hpack.capacity:
            return at
        block, head, method, length_kind = usual.block, usual.head, usual.method, usual.length_kind
        unpack, around, most, limits = usual.unpack, usual.around, self._most_usual, self.limits
        end, streams, since, window = len(data), self.streams, self.heard, limits.stream_window
        room, last, free = self._room, self._last, limits.streams - len(streams)
        least_room = (limits.connection_window + 1) // 2
        calls: list[Call] = []
        shared = Stream.whole(head, since, window)
        while end - at >= around and len(calls) < free:
            kind, flags, number, said, told, ends, same, compressed, size = unpack(data, at)
            message = at + around
            stop = message + size
            room -= size + PREFIX_BYTES
            if (
                kind != length_kind
                or number > STREAM_MASK
                or flags != frames.END_HEADERS
                or number != last + 2
                or said != block
                # DATA is 0: the lengths are those of one message.
                or told != size + PREFIX_BYTES << 8
                or ends != frames.END_STREAM
                or same != number
                or compressed
                or size > most
                or stop > end
                or room < least_room
            ):
                break
            streams[number] = shared
            calls.append((self, number, method, data[message:stop]))
            last, at = number, stop
            self._room = room
        self._last = last
        self.server.take_all(calls, method)
        return at

    def _on_data(self, flags: int, number: int, data: bytes, start: int, stop: int) -> None:
        stream = self.streams.get(number)
        self._room -= stop - start
        if self._room < 0:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "more data than the connection's window")
        if self._room * 2 < self.limits.connection_window:
            self._widen()
        if stream is None or stream.ended:
            self._late_data(number, stream)
            return
        size = stop - start
        if (
            flags & (frames.END_STREAM | frames.PADDED) == frames.END_STREAM
            and stream.parts is None
            and size >= PREFIX_BYTES
            and not data[start]
            and int.from_bytes(data[start + 1 : start + PREFIX_BYTES]) == size - PREFIX_BYTES
            and stream.head.content_length is None
            and (method := stream.head.method) is not None
            and size <= self.limits.message_bytes
        ):
            # Nearly every message: whole, in one frame.
            stream.ended = True
            self.server.take(self, number, method, data[start + PREFIX_BYTES : stop])
            return
        self._part(flags, number, stream, frames.unpadded(flags, data[start:stop]), size)

    def _part(self, flags: int, number: int, stream: Stream, part: bytes, size: int) -> None:
        """A part of a message, or one that says other than plain things of itself."""
        ends = flags & frames.END_STREAM
        if len(part) < _TINY_BYTES and not ends:
            self._idle()
        stream.room -= size
        if stream.room < 0:
            raise StreamFault(number, ErrorCode.FLOW_CONTROL_ERROR, "more data than the stream's window")
        stream.size += len(part)
        told = stream.head.content_length
        if told is not None and stream.size > told:
            raise StreamFault(number, ErrorCode.PROTOCOL_ERROR, "more data than content-length says")
        if stream.parts is None:
            stream.parts = []
        if stream.head.method is not None:
            # Of a call that will be refused nothing is kept.
            stream.parts.append(part)
            stream.held += len(part)
            self._partial += len(part)
        limits = self.limits
        if stream.held > limits.message_bytes + PREFIX_BYTES or self._partial > limits.partial_bytes:
            text = "a message larger than this server takes, or too many at a time"
            self.end(number, Head(status=Status.RESOURCE_EXHAUSTED, text=text))
        elif ends:
            self._ended(number, stream)
        elif stream.room * 2 < limits.stream_window:
            self._put(frames.window_update(number, limits.stream_window - stream.room))
            stream.room = limits.stream_window

    def _ended(self, number: int, stream: Stream) -> None:
        """The peer has sent all of a call."""
        stream.ended = True
        told = stream.head.content_length
        if told is not None and told != stream.size:
            raise StreamFault(number, ErrorCode.PROTOCOL_ERROR, "another length than content-length says")
        method = stream.head.method
        if method is None:
            self.end(number, stream.head)
            return
        parts, stream.parts = stream.parts or [], None
        self._partial -= stream.held
        stream.held = 0
        try:
            message = stream.message(b"".join(parts))
        except RpcError as error:
            self.end(number, Head(status=error.status, text=error.text))
            return
        self.server.take(self, number, method, message)

    def _late_data(self, number: int, stream: Stream | None) -> None:
        if stream is None and (number > self._last or not number & 1):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "data on a stream that nobody opened")
        # What was on its way when this side ended the stream is no fault.
        self._idle()
        if number not in self._reset:
            raise StreamFault(number, ErrorCode.STREAM_CLOSED, "data on a closed stream")

    def _on_headers(self, flags: int, number: int, data: bytes, start: int, stop: int) -> None:
        block = data[start:stop]
        if flags & (frames.PADDED | frames.PRIORITISED):
            block = frames.unpadded(flags, block)
            if flags & frames.PRIORITISED:
                block = self._unprioritised(number, block)
        if not flags & frames.END_HEADERS:
            if not number:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "headers of no stream")
            self._block = (number, flags, [block])
            return
        self._headers(flags, number, block)

    def _unprioritised(self, number: int, block: bytes) -> bytes:
        if len(block) < 5:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "HEADERS too short for its priority")
        if int.from_bytes(block[:4]) & STREAM_MASK == number:
            # A stream error, were it not for the block, which the table's state needs.
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a stream that depends on itself")
        return block[5:]

    def _on_continuation(self, flags: int, number: int, data: bytes, start: int, stop: int) -> None:
        if self._block is None or self._block[0] != number:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "CONTINUATION of nothing")
        _, first, parts = self._block
        parts.append(data[start:stop])
        if len(parts) > self.limits.continuations or sum(map(len, parts)) > self.limits.header_block_bytes:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "a header block without an end")
        if flags & frames.END_HEADERS:
            self._block = None
            self._headers(first, number, b"".join(parts))

    def _headers(self, flags: int, number: int, block: bytes) -> None:
        stream = self.streams.get(number)
        if stream is not None or number <= self._last or not number & 1:
            self._more_headers(flags, number, stream, block)
            return
        if number != self._last + 2 and number != 1:
            self._gaps.append((self._last, number))
        self._last = number
        head = self._head(number, block)
        if self.draining or len(self.streams) >= self.limits.streams:
            raise StreamFault(number, ErrorCode.REFUSED_STREAM, "no more streams now")
        stream = self.streams[number] = Stream(head, self.heard, self.limits.stream_window)
        if flags & frames.END_STREAM:
            self._ended(number, stream)

    def _head(self, number: int, block: bytes) -> Head:
        """What a block says: read once, where no table stands between the block and its meaning."""
        plain = self._hpack.capacity == 0
        known = self.server.heads.get(block) if plain else None
        if known is not None:
            self._expect(block, known)
            return known
        headers = self._decoded(block)
        if headers is None:
            return _TOO_MUCH
        try:
            head = head_of(headers, self.server.methods)
        except Malformed as malformed:
            raise StreamFault(number, ErrorCode.PROTOCOL_ERROR, str(malformed)) from None
        if plain and block[0] & 0xE0 != 0x20:
            self.server.remember(block, head)
        return head

    def _expect(self, block: bytes, head: Head) -> None:
        """Calls like this one may follow; they will not need to be looked at in detail."""
        if head.method is not None and head.content_length is None and len(block) <= frames.MAX_FRAME_BYTES:
            self._usual = _Usual(block, head, head.method)

    def _decoded(self, block: bytes) -> list[Header] | None:
        try:
            return self._hpack.decode(block)
        except HpackError as error:
            raise ConnectionFault(ErrorCode.COMPRESSION_ERROR, str(error)) from None

    def _more_headers(self, flags: int, number: int, stream: Stream | None, block: bytes) -> None:
        """Headers on a stream that is there already, or was."""
        headers = self._decoded(block)
        if not number & 1 or any(before < number < after for before, after in self._gaps):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a stream with a number that cannot be opened")
        if stream is None:
            if number not in self._reset:
                raise ConnectionFault(ErrorCode.STREAM_CLOSED, "headers on a closed stream")
            self._idle()
        elif stream.ended:
            raise StreamFault(number, ErrorCode.STREAM_CLOSED, "headers behind a call's end")
        elif not flags & frames.END_STREAM or headers is None or not is_trailers(headers):
            raise StreamFault(number, ErrorCode.PROTOCOL_ERROR, "trailers that are none")
        else:
            self._ended(number, stream)


@lru_cache(64)
def _both_frames(block_bytes: int) -> struct.Struct:
    return struct.Struct(f">IBI{block_bytes}sIBIBI")
