"""One HTTP/2 connection: its transport, its frames in their order, and those that concern no call (RFC 9113)."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, cast

from extauthz.http2 import frames
from extauthz.http2.frames import STREAM_MASK, ConnectionFault, ErrorCode, StreamFault
from extauthz.http2.requests import Requests

if TYPE_CHECKING:
    from collections.abc import Callable

    from extauthz.http2.server import Server


class Connection(Requests, asyncio.Protocol):
    """Reads frames, keeps the streams' states, hands whole calls to its server, and sends their answers."""

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self.greeted = False
        # Since when the peer has taken too little of what was sent; None while it takes it.
        self.clogged_since: float | None = None
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._rest = b""
        self._prefaced = False
        self._acknowledged = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if not self.server.joined(self):
            self._transport.abort()
            return
        self._put(
            frames.settings(
                {
                    frames.HEADER_TABLE_SIZE: 0,
                    frames.MAX_CONCURRENT_STREAMS: self.limits.streams,
                    frames.INITIAL_WINDOW_SIZE: self.limits.stream_window,
                    frames.MAX_HEADER_LIST_SIZE: self.limits.header_list_bytes,
                }
            )
        )
        self._widen()
        self.server.flush()

    def connection_lost(self, _: Exception | None) -> None:
        self.closing = True
        for number in list(self.streams):
            self._forget(number)
        self.server.left(self)

    def pause_writing(self) -> None:
        """The peer reads too slowly: nothing more is taken from it until it has."""
        self.clogged_since = time.monotonic()
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self.clogged_since = None
        self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self.closing:
            return
        self.heard = time.monotonic()
        if self._rest:
            data = self._rest + data
        try:
            at = self._read(data, 0 if self._prefaced else self._preface(data))
            if not at:
                self._idle()
            self._rest = data[at:]
        except ConnectionFault as fault:
            self.fail(fault.code, fault.text)
        self.server.turn()

    def flush(self) -> None:
        """What gathered leaves."""
        data = self.send.taken()
        if data and not self._transport.is_closing():
            self._transport.write(data)
            if self.clogged_since is not None:
                self._bound_unread()

    def fail(self, code: ErrorCode, text: str) -> None:
        """Say why, and close."""
        if self.closing:
            return
        if code is not ErrorCode.NO_ERROR:
            self.server.counts.faults["connection", code.name] += 1
        self._put(frames.goaway(self._last, code, text))
        self.close()

    def close(self) -> None:
        """Close once all that was sent has left; streams that are there are lost."""
        self.closing = True
        self.flush()
        for number in list(self.streams):
            self._forget(number)
        self._transport.close()

    def abort(self) -> None:
        self.closing = True
        self._transport.abort()

    def _bound_unread(self) -> None:
        """What the peer does not read is bounded, as what waits for its windows is."""
        if self._transport.get_write_buffer_size() > self.limits.blocked_bytes:
            self.server.counts.faults["connection", ErrorCode.ENHANCE_YOUR_CALM.name] += 1
            self.abort()

    def _preface(self, data: bytes) -> int:
        preface = frames.PREFACE
        if data[: len(preface)] != preface[: len(data)]:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "not the preface of HTTP/2")
        if len(data) < len(preface):
            return 0
        self._prefaced = True
        return len(preface)

    def _read(self, data: bytes, at: int) -> int:
        """Take whole frames from `at` on; where the first that is not whole begins."""
        if not self._prefaced:
            return 0
        end, unpack, handlers = len(data), frames.HEAD.unpack_from, _HANDLERS
        while end - at >= frames.HEAD_BYTES:
            length_kind, flags, number = unpack(data, at)
            usual = self._usual
            if usual is not None and length_kind == usual.length_kind:
                begun, at = at, self._usual_calls(usual, data, at)
                if at > begun:
                    continue
            start = at + frames.HEAD_BYTES
            stop = start + (length_kind >> 8)
            if stop - start > frames.MAX_FRAME_BYTES:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a frame larger than 16,384 bytes")
            if stop > end:
                break
            kind = length_kind & 0xFF
            if (self._block or not self.greeted) and kind != (
                frames.CONTINUATION if self._block else frames.SETTINGS
            ):
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "another frame than has to come here")
            try:
                if kind < len(handlers):
                    handlers[kind](self, flags, number & STREAM_MASK, data, start, stop)
                else:
                    self._idle()
            except StreamFault as fault:
                self._fault_stream(fault)
            at = stop
        return at

    def _on_priority(self, _: int, number: int, data: bytes, start: int, stop: int) -> None:
        self._idle()
        if number == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PRIORITY of no stream")
        if stop - start != 5:
            raise StreamFault(number, ErrorCode.FRAME_SIZE_ERROR, "PRIORITY of another length than 5")
        if int.from_bytes(data[start : start + 4]) & STREAM_MASK == number:
            raise StreamFault(number, ErrorCode.PROTOCOL_ERROR, "a stream that depends on itself")

    def _on_rst_stream(self, _: int, number: int, __: bytes, start: int, stop: int) -> None:
        self._idle()
        if stop - start != 4:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "RST_STREAM of another length than 4")
        if number == 0 or number > self._last:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "RST_STREAM of a stream that nobody opened")
        if number in self.streams:
            self.server.counts.cancelled += 1
            self._forget(number)

    def _on_settings(self, flags: int, number: int, data: bytes, start: int, stop: int) -> None:
        self._idle()
        if number:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "SETTINGS of a stream")
        if flags & frames.ACK:
            if stop != start or not self.greeted:
                code = ErrorCode.FRAME_SIZE_ERROR if stop != start else ErrorCode.PROTOCOL_ERROR
                raise ConnectionFault(code, "an acknowledgement that is none")
            if not self._acknowledged:
                self._acknowledged = True
                self._hpack.acknowledged(0)
            return
        if (stop - start) % 6:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS of a length that six does not divide")
        for key, value in frames.settings_in(data[start:stop]):
            self._setting(key, value)
        self.greeted = True
        self._put(frames.frame(frames.SETTINGS, frames.ACK, 0))
        self._pump()

    def _setting(self, key: int, value: int) -> None:
        if key == frames.INITIAL_WINDOW_SIZE:
            if value > frames.MAX_WINDOW:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "an initial window beyond 2^31-1")
            self.send.initial = value
            widest = max((stream.credit for stream in self.streams.values()), default=0)
            if value + widest > frames.MAX_WINDOW:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "a stream's window beyond 2^31-1")
        elif key == frames.MAX_FRAME_SIZE:
            if not frames.MAX_FRAME_BYTES <= value < 2**24:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a frame size that cannot be")
        elif key == frames.ENABLE_PUSH and value > 1:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "ENABLE_PUSH that is neither 0 nor 1")

    def _on_push_promise(self, *_: object) -> None:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a client promises nothing")

    def _on_ping(self, flags: int, number: int, data: bytes, start: int, stop: int) -> None:
        self._idle()
        if number:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PING of a stream")
        if stop - start != 8:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "PING of another length than 8")
        if not flags & frames.ACK:
            self._put(frames.frame(frames.PING, frames.ACK, 0, data[start:stop]))

    def _on_goaway(self, _: int, number: int, __: bytes, start: int, stop: int) -> None:
        self._idle()
        if number:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "GOAWAY of a stream")
        if stop - start < 8:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY shorter than 8")

    def _on_window_update(self, _: int, number: int, data: bytes, start: int, stop: int) -> None:
        self._idle()
        if stop - start != 4:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "WINDOW_UPDATE of another length than 4")
        if number > self._last or (number and not number & 1):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of a stream that nobody opened")
        increment = int.from_bytes(data[start:stop]) & STREAM_MASK
        if not increment:
            if number == 0:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE by nothing")
            raise StreamFault(number, ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE by nothing")
        self.send.widened(number, self.own(number), increment)
        self._pump()

    def _pump(self) -> None:
        if self.send.blocked:
            self._touch()
            for number in self.send.pump():
                self.streams.pop(number, None)


# By their type, as RFC 9113 numbers them.
_HANDLERS: tuple[Callable[..., Any], ...] = (
    Connection._on_data,  # noqa: SLF001 - its own
    Connection._on_headers,  # noqa: SLF001
    Connection._on_priority,  # noqa: SLF001
    Connection._on_rst_stream,  # noqa: SLF001
    Connection._on_settings,  # noqa: SLF001
    Connection._on_push_promise,  # noqa: SLF001
    Connection._on_ping,  # noqa: SLF001
    Connection._on_goaway,  # noqa: SLF001
    Connection._on_window_update,  # noqa: SLF001
    Connection._on_continuation,  # noqa: SLF001
)
