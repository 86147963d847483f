"""The settings of chserver, the embedded ClickHouse."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from service.settings import Address, Section

MIB = 1024 * 1024


class ChServerSettings(Section):
    """ClickHouse's HTTP interface over chDB. Loopback only: it has no TLS."""

    listen: Address = Field("127.0.0.1:8123", description="HOST:PORT, loopback.")
    data: Path | None = Field(None, description="Directory of the data. Default: HOME/clickhouse.")
    writer_user: str = Field("gateledger", description="The user that may do everything.")
    writer_password_file: Path | None = Field(
        None, description="File with the writer's password. Default: HOME/secrets/clickhouse-writer."
    )
    reader_user: str = Field("auditor", description="The user that may only read; no password.")
    allowed_hosts: tuple[str, ...] = Field(
        ("127.0.0.1", "localhost", "[::1]"),
        description="Names that a request's Host and Origin may carry (any port).",
    )
    reader_concurrency: int = Field(4, ge=1, description="Queries of readers that run at once; more wait.")
    reader_waiting: int = Field(
        64, ge=0, description="Queries of readers that may wait for their turn; more get an error."
    )
    reader_max_seconds: float = Field(60, gt=0, description="Seconds that a reader's query may run.")
    reader_max_memory_bytes: int = Field(
        2048 * MIB,
        ge=16 * MIB,
        description="Memory of all readers' queries together, bytes; each has an equal share of it.",
    )
    reader_max_threads: int = Field(2, ge=1, description="Threads of a reader's query.")
    reader_max_result_bytes: int = Field(256 * MIB, ge=MIB, description="Largest result of a reader, bytes.")
    max_body_bytes: int = Field(256 * MIB, ge=MIB, description="Largest request body, bytes.")
    drain_seconds: float = Field(10, ge=0, description="Seconds that running queries have at a stop.")
