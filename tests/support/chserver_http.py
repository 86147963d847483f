"""A bare HTTP request to chserver: what a client library would hide."""

from __future__ import annotations

import http.client
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chserver_process import ChServerProcess

READER: Mapping[str, str] = {"X-ClickHouse-User": "auditor"}


def writer(server: ChServerProcess) -> dict[str, str]:
    """The writer's credentials as headers."""
    return {"X-ClickHouse-User": "gateledger", "X-ClickHouse-Key": server.password}


@dataclass(frozen=True, slots=True)
class Reply:
    """Status, headers in small letters and the body as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


def request(
    server: ChServerProcess,
    body: bytes | str = b"",
    *,
    headers: Mapping[str, str] = READER,
    method: str = "POST",
    path: str = "/",
    timeout: float = 60,
    **params: Any,
) -> Reply:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=timeout)
    try:
        connection.request(
            method,
            f"{path}?{urlencode(params)}" if params else path,
            body=body.encode() if isinstance(body, str) else body,
            headers=dict(headers),
        )
        answer = connection.getresponse()
        return Reply(
            answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        )
    finally:
        connection.close()
