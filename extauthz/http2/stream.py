"""One call on its way: the message as it gathers, the answer as it drains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from extauthz.http2.status import RpcError, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from extauthz.http2.head import Head

PREFIX_BYTES = 5


class Stream:
    """State of a stream between its headers and its last frame.

    Calls that came whole, in one read and with the same headers, share one until it changes (`shared`): nearly all are
    answered before anything happens to them.
    """

    __slots__ = (
        "answered",
        "blocked_at",
        "credit",
        "detach",
        "ended",
        "head",
        "held",
        "parts",
        "pending",
        "room",
        "shared",
        "since",
        "size",
        "tail",
    )

    def __init__(self, head: Head, since: float, room: int) -> None:
        self.head = head
        # When the headers came, in time.monotonic's seconds.
        self.since = since
        # Other streams' too: `own` before anything is changed.
        self.shared = False
        # The peer has sent all.
        self.ended = False
        # The answer has begun.
        self.answered = False
        # What of the message has come, where it came in several frames.
        self.parts: list[bytes] | None = None
        self.size = 0
        # Of these bytes, those that are kept.
        self.held = 0
        # What the peer may still send.
        self.room = room
        # What this side may send beyond the peer's initial window, less what it sent.
        self.credit = 0
        # Of the answer what waits for a window, and the trailers behind it.
        self.pending = b""
        self.tail = b""
        # Since when it waits, in time.monotonic's seconds; set where it does.
        self.blocked_at: float
        # Ends a feed.
        self.detach: Callable[[], None] | None = None

    @classmethod
    def whole(cls, head: Head, since: float, room: int) -> Stream:
        """The one of calls that have come whole."""
        stream = cls(head, since, room)
        stream.shared = stream.ended = True
        return stream

    def own(self) -> Stream:
        """One like a shared one, for a single stream."""
        stream = Stream(self.head, self.since, self.room)
        stream.ended = True
        return stream

    def message(self, data: bytes) -> bytes:
        """The one message in all that came. Raises RpcError."""
        if len(data) < PREFIX_BYTES:
            text = "a call without a message" if not data else "a message that ends too early"
            raise RpcError(Status.UNIMPLEMENTED if not data else Status.INTERNAL, text)
        length = int.from_bytes(data[1:PREFIX_BYTES])
        if data[0] == 1 and self.head.compressed:
            raise RpcError(Status.UNIMPLEMENTED, "messages are taken uncompressed")
        if data[0]:
            raise RpcError(Status.INTERNAL, "a compressed message without a grpc-encoding, or no message")
        if len(data) > PREFIX_BYTES + length:
            raise RpcError(Status.UNIMPLEMENTED, "more than one message; this method takes one")
        if len(data) < PREFIX_BYTES + length:
            raise RpcError(Status.INTERNAL, "a message that ends too early")
        return data[PREFIX_BYTES:]
