"""The sending side of a connection: answers as frames, as far as the peer's windows let them go (RFC 9113, 5.2)."""

from __future__ import annotations

import struct
import time
from typing import TYPE_CHECKING
from urllib.parse import quote_from_bytes

from extauthz.http2 import frames
from extauthz.http2.frames import ConnectionFault, ErrorCode, StreamFault
from extauthz.http2.hpack import literal
from extauthz.http2.stream import PREFIX_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from extauthz.http2.head import Head
    from extauthz.http2.stream import Stream

_GRPC = literal(b"content-type", b"application/grpc")
_ANSWER = b"\x88" + _GRPC + literal(b"grpc-accept-encoding", b"identity")
_FINE = literal(b"grpc-status", b"0")
_LAST = frames.END_HEADERS | frames.END_STREAM


def _before_stream(payload: bytes, flags: int) -> bytes:
    """A HEADERS frame up to its stream's number."""
    return frames.frame(frames.HEADERS, flags, 0, payload)[:5]


# A whole answer around its message: HEADERS and the beginning of DATA, then the trailers.
_HEADERS = _before_stream(_ANSWER, frames.END_HEADERS)
_TRAILERS = _before_stream(_FINE, _LAST)
_before = struct.Struct(f">5sI{len(_ANSWER)}sIBIBI").pack
_behind = struct.Struct(f">5sI{len(_FINE)}s").pack


class Sender:
    """Frames on their way out. What `put` and the others gather leaves with `taken`."""

    __slots__ = ("blocked", "frame_bytes", "initial", "out", "waiting_bytes", "window")

    def __init__(self) -> None:
        self.out: list[bytes] = []
        self.window = frames.DEFAULT_WINDOW
        self.initial = frames.DEFAULT_WINDOW
        self.frame_bytes = frames.MAX_FRAME_BYTES
        # Answers that wait for a window, the longest waiting first.
        self.blocked: dict[int, Stream] = {}
        self.waiting_bytes = 0

    def taken(self) -> bytes:
        """All that is to be sent now."""
        out, self.out = self.out, []
        return b"".join(out)

    def answered(self, number: int, stream: Stream, message: bytes) -> bool:
        """A whole answer, at once; False where that cannot be, and nothing is done."""
        size = len(message) + PREFIX_BYTES
        if (
            size <= self.window
            and size <= frames.MAX_FRAME_BYTES
            and size <= self.initial + stream.credit
            and not self.blocked
        ):
            self.window -= size
            length = size - PREFIX_BYTES
            self.out += (
                _before(_HEADERS, number, _ANSWER, size << 8 | frames.DATA, 0, number, 0, length),
                message,
                _behind(_TRAILERS, number, _FINE),
            )
            return True
        return False

    def answer(self, number: int, stream: Stream, message: bytes) -> bool:
        """A whole answer, as far as it may leave; whether all of it has left."""
        self.begin(number)
        stream.tail = frames.frame(frames.HEADERS, _LAST, number, _FINE)
        return self.message(number, stream, message)

    def begin(self, number: int) -> None:
        """The headers of an answer whose messages come apart."""
        self.out.append(frames.frame(frames.HEADERS, frames.END_HEADERS, number, _ANSWER))

    def message(self, number: int, stream: Stream, message: bytes) -> bool:
        """One message of an answer; whether nothing of the stream waits."""
        stream.pending += b"\x00" + len(message).to_bytes(4) + message
        self.waiting_bytes += PREFIX_BYTES + len(message)
        if number not in self.blocked:
            self.blocked[number] = stream
            stream.blocked_at = time.monotonic()
        return self._drained(number, stream)

    def refuse(self, number: int, head: Head) -> None:
        """An answer that is a status alone."""
        if head.http_status != 200:
            block = literal(b":status", str(head.http_status).encode())
        else:
            block = b"\x88" + _GRPC + _status(head.status, head.text)
        self.out.append(frames.frame(frames.HEADERS, _LAST, number, block))

    def end(self, number: int, status: int, text: str) -> None:
        """Trailers behind messages, whatever waits."""
        self.drop(number)
        block = _status(status, text)
        self.out.append(frames.frame(frames.HEADERS, _LAST, number, block))

    def drop(self, number: int) -> None:
        """What waits on a stream is not sent any more."""
        stream = self.blocked.pop(number, None)
        if stream is not None:
            self.waiting_bytes -= len(stream.pending)
            stream.pending = b""

    def widened(self, number: int, stream: Stream | None, increment: int) -> None:
        """A WINDOW_UPDATE. Raises ConnectionFault or StreamFault where the window becomes too wide."""
        if number == 0:
            self.window += increment
            if self.window > frames.MAX_WINDOW:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "a connection's window beyond 2^31-1")
        elif stream is not None:
            stream.credit += increment
            if self.initial + stream.credit > frames.MAX_WINDOW:
                raise StreamFault(number, ErrorCode.FLOW_CONTROL_ERROR, "a stream's window beyond 2^31-1")

    def pump(self) -> Iterator[int]:
        """Send what the windows now let go; the streams that are through."""
        for number, stream in list(self.blocked.items()):
            if self.window <= 0:
                return
            if self._drained(number, stream) and stream.tail:
                yield number

    def _drained(self, number: int, stream: Stream) -> bool:
        while stream.pending:
            room = min(self.window, self.initial + stream.credit, self.frame_bytes)
            if room <= 0:
                return False
            part, stream.pending = stream.pending[:room], stream.pending[room:]
            self.window -= len(part)
            self.waiting_bytes -= len(part)
            stream.credit -= len(part)
            self.out.append(frames.frame(frames.DATA, 0, number, part))
        self.blocked.pop(number, None)
        if stream.tail:
            self.out.append(stream.tail)
        return True


def _status(status: int, text: str) -> bytes:
    message = quote_from_bytes(text.encode(), safe=" !\"#$&'()*+,/:;<=>?@[\\]^`{|}").encode()
    said = literal(b"grpc-message", message) if text else b""
    return literal(b"grpc-status", str(int(status)).encode()) + said
