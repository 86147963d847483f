"""How much a peer may ask of a connection, and what is counted of those that ask too much or wrongly."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a server. Bytes and seconds."""

    # Beyond any of these a call is RESOURCE_EXHAUSTED.
    message_bytes: int = 4 * 1024 * 1024
    header_list_bytes: int = 16 * 1024
    # Of all messages of a connection that have come in part.
    partial_bytes: int = 16 * 1024 * 1024
    # Beyond these the connection is closed.
    header_block_bytes: int = 32 * 1024
    continuations: int = 16
    # Frames that get nothing done (resets, settings, pings, empty or tiny data, …), beyond those that the
    # answers given and the time gone by account for.
    idle_frames: int = 2_000
    idle_frames_per_answer: int = 8
    idle_frames_per_second: int = 200
    streams: int = 1_024
    connections: int = 4_096
    stream_window: int = 1024 * 1024
    connection_window: int = 16 * 1024 * 1024
    # From a connection's beginning to its first whole SETTINGS.
    greeting_seconds: float = 10.0
    # Without any frame; Envoy's health checks come every 0.2 s.
    idle_seconds: float = 600.0
    # From a stream's headers to the end of its message.
    request_seconds: float = 30.0
    # What a closed connection has to take its last bytes.
    farewell_seconds: float = 5.0


@dataclass(slots=True)
class Counts:
    """What happened since the start."""

    connections: int = 0
    connections_refused: int = 0
    calls: int = 0
    answers: int = 0
    # By "connection" or "stream" and the code's name, for the faults that this side found.
    faults: Counter[tuple[str, str]] = field(default_factory=Counter)
    # Streams that the peer reset.
    cancelled: int = 0
