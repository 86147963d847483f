"""The settings of alslog."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from service.server_tls import ServerTls
from service.settings import Address, Section

MIB = 1024 * 1024


class AlsLogSettings(Section):
    """The access log service: from Envoy's stream onto the disk."""

    listen: str = Field(
        "", description="Address: unix:PATH or HOST:PORT. Default: unix:HOME/run/alslog.sock."
    )
    tls: ServerTls | None = Field(
        None, description="TLS with client certificates, for HOST:PORT. Default: plain text."
    )
    metrics: Address = Field("127.0.0.1:9465", description="HOST:PORT of /metrics, /healthz and /readyz.")
    spool: Path | None = Field(None, description="Directory of the spool. Default: HOME/spool/alslog.")
    max_message_bytes: int = Field(
        64 * MIB,
        ge=MIB,
        description="Largest message in bytes; keep it well above Envoy's buffer_size_bytes.",
    )
    unsynced_max_bytes: int = Field(
        64 * MIB,
        ge=MIB,
        description="Bytes received and not yet on disk from which reading pauses: what memory bears.",
    )
    spool_max_bytes: int = Field(
        8 * 1024 * MIB,
        ge=16 * MIB,
        description="Bytes on disk from which reading stops until some are stored.",
    )
    spool_reserve_bytes: int = Field(
        256 * MIB, ge=0, description="Free bytes that the spool leaves on its disk; below it reading stops."
    )
    segment_bytes: int = Field(16 * MIB, ge=64 * 1024, description="Bytes after which a segment is sealed.")
    segment_seconds: float = Field(0.5, gt=0, description="Seconds after which a segment is sealed.")
    drain_seconds: float = Field(5, ge=0, description="Seconds that open streams are still read at a stop.")
