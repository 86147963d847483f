"""Where ClickHouse is, and the one way in which gateledger connects to it."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import clickhouse_connect
from clickhouse_connect.driver.httputil import get_pool_manager
from pydantic import Field, field_validator

from service.settings import Section

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client
    from urllib3 import PoolManager


class ClickHouseSettings(Section):
    """A ClickHouse server or cluster, or the embedded one: all speak HTTP and get the same code."""

    url: str = Field(
        "",
        description="Base URL of ClickHouse's HTTP interface. Default: the embedded one, http://chserver.listen.",
    )
    writer_user: str = Field("gateledger", description="The user that writes; only the ledger holds it.")
    writer_password_file: Path | None = Field(
        None, description="File with the writer's password. Default: HOME/secrets/clickhouse-writer."
    )
    reader_user: str = Field("auditor", description="The user that audit queries run as.")
    reader_password_file: Path | None = Field(
        None, description="File with the reader's password. Default: no password."
    )

    @field_validator("url")
    @classmethod
    def _base_url(cls, url: str) -> str:
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = 0
        plain = not (
            parts.username or parts.password or parts.path.strip("/") or parts.query or parts.fragment
        )
        if url and not (parts.scheme in ("http", "https") and parts.hostname and port != 0 and plain):
            raise ValueError(
                "must be http://HOST:PORT or https://HOST:PORT, without path, user or password "
                "(those are settings of their own)"
            )
        return url

    connect_timeout_seconds: float = Field(5, gt=0, description="Seconds to wait for a connection.")
    query_timeout_seconds: float = Field(60, gt=0, description="Seconds to wait for an answer.")


@functools.cache
def _direct_connections() -> PoolManager:
    """Connections of this process. The library would else send password and records to $HTTP_PROXY."""
    pool: PoolManager = get_pool_manager()
    return pool


def connect(settings: ClickHouseSettings, user: str, password_file: Path | None) -> Client:
    """A client of clickhouse-connect's HTTP driver, safe for concurrent calls.

    Raises OSError when the password file cannot be read and clickhouse_connect's errors when
    the server does not answer or refuses the user.
    """
    password = password_file.read_text(encoding="utf-8").strip() if password_file else ""
    url = urlsplit(settings.url)
    return clickhouse_connect.get_client(
        host=url.hostname or "127.0.0.1",
        port=url.port or (8443 if url.scheme == "https" else 8123),
        interface=url.scheme or "http",
        username=user,
        password=password,
        connect_timeout=int(settings.connect_timeout_seconds) or 1,
        send_receive_timeout=int(settings.query_timeout_seconds) or 1,
        # A session id would forbid concurrent calls on one client.
        autogenerate_session_id=False,
        pool_mgr=_direct_connections(),
    )
