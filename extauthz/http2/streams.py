"""The streams of one connection: their states, what is sent on them, and the patience with their peer."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from extauthz.http2 import frames
from extauthz.http2.frames import ConnectionFault, ErrorCode, StreamFault
from extauthz.http2.head import Head
from extauthz.http2.sender import Sender
from extauthz.http2.status import Status

if TYPE_CHECKING:
    from extauthz.http2.server import Server
    from extauthz.http2.stream import Stream

# How many streams that this side ended early, and how many gaps in their numbers, are remembered.
_REMEMBERED = 128


class Streams:
    """What is known of a connection's streams, and the sending side of them."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.limits = server.limits
        self.streams: dict[int, Stream] = {}
        self.send = Sender()
        self.since = self.heard = time.monotonic()
        self.draining = False
        self.closing = False
        # The highest number that the peer used.
        self._last = 0
        # What the peer may still send on all streams.
        self._room = frames.DEFAULT_WINDOW
        # Bytes of messages that have come in part.
        self._partial = 0
        self._reset: deque[int] = deque(maxlen=_REMEMBERED)
        self._gaps: deque[tuple[int, int]] = deque(maxlen=_REMEMBERED)
        self._idle_frames = 0
        self._forgiven_at = self.since
        self._answers = self._forgiven_answers = 0

    def flush(self) -> None:
        """What gathered leaves."""
        raise NotImplementedError

    def own(self, number: int) -> Stream | None:
        """The state of a stream, to be changed; None where the call is gone."""
        stream = self.streams.get(number)
        if stream is not None and stream.shared:
            stream = self.streams[number] = stream.own()
        return stream

    # Nobody opens a number again: what has one is that call, or none.

    def answer(self, number: int, message: bytes) -> None:
        """The answer of a call; nothing where the call is gone."""
        stream = self.streams.get(number)
        if stream is None:
            return
        self._answers += 1
        send = self.send
        if not send.out:
            self.server.dirty.append(self)
        if send.answered(number, stream, message):
            del self.streams[number]
        elif (stream := self.own(number)) is not None:
            if send.answer(number, stream, message):
                del self.streams[number]
            else:
                stream.answered = True
                self._bound(number)

    def feed(self, number: int, message: bytes) -> None:
        """One of many messages of an answer."""
        stream = self.own(number)
        if stream is None:
            return
        self._touch()
        if not stream.answered:
            stream.answered = True
            self.send.begin(number)
        self.send.message(number, stream, message)
        self._bound(number)

    def end(self, number: int, head: Head) -> None:
        """End a call with a status instead of an answer; nothing where it is gone."""
        stream = self.streams.get(number)
        if stream is None:
            return
        self._answers += 1
        self._touch()
        if stream.answered:
            self.send.end(number, head.status, head.text)
        else:
            self.send.refuse(number, head)
        if not stream.ended:
            # Nothing more of it is wanted (8.1).
            self._reset.append(number)
            self._put(frames.reset(number, ErrorCode.NO_ERROR))
        self._forget(number)

    def cancel(self, number: int, code: ErrorCode) -> None:
        """End a stream whose call never became whole."""
        self._end_early(number, code)

    def drain(self) -> None:
        """Take no new streams; those that are there may end."""
        if not self.draining and not self.closing:
            self.draining = True
            for number, stream in list(self.streams.items()):
                if stream.detach is not None:
                    self.end(number, Head(status=Status.UNAVAILABLE, text="the server stops"))
            self._put(frames.goaway(self._last, ErrorCode.NO_ERROR))

    def starved(self, now: float) -> bool:
        """Whether an answer has waited for a window as long as it may."""
        first = next(iter(self.send.blocked.values()), None)
        return first is not None and now - first.blocked_at > self.limits.blocked_seconds

    def _bound(self, number: int) -> None:
        """What waits for windows is bounded: the answer that is too much is reset."""
        if self.send.waiting_bytes > self.limits.blocked_bytes:
            self._end_early(number, ErrorCode.ENHANCE_YOUR_CALM)

    def _put(self, data: bytes) -> None:
        self._touch()
        self.send.out.append(data)

    def _touch(self) -> None:
        if not self.send.out:
            self.server.dirty.append(self)

    def _widen(self) -> None:
        """Let the peer send as much as at the beginning."""
        increment = self.limits.connection_window - self._room
        self._room += increment
        self._put(frames.window_update(0, increment))

    def _fault_stream(self, fault: StreamFault) -> None:
        self._idle()
        self._end_early(fault.stream, fault.code)

    def _end_early(self, number: int, code: ErrorCode) -> None:
        self.server.counts.faults["stream", code.name] += 1
        self._reset.append(number)
        self._put(frames.reset(number, code))
        self._forget(number)

    def _forget(self, number: int) -> None:
        stream = self.streams.pop(number, None)
        if stream is None or stream.shared:
            return
        self.send.drop(number)
        self._partial -= stream.held
        if stream.detach is not None:
            stream.detach()
            stream.detach = None

    def _idle(self) -> None:
        """A frame that gets nothing done: too many of them end the connection."""
        self._idle_frames += 1
        if self._idle_frames <= self.limits.idle_frames:
            return
        now, limits = self.heard, self.limits
        answers = self._answers - self._forgiven_answers
        forgiven = answers * limits.idle_frames_per_answer
        forgiven += int((now - self._forgiven_at) * limits.idle_frames_per_second)
        self._forgiven_at, self._forgiven_answers = now, self._answers
        self._idle_frames = max(0, self._idle_frames - forgiven)
        if self._idle_frames > limits.idle_frames:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too many frames that get nothing done")
