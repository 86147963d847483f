"""A request of ClickHouse's HTTP interface as plain values: what is the transport's, what is a setting. Pure."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chserver.errors import BAD_ARGUMENTS, NOT_IMPLEMENTED, SESSION_NOT_FOUND, ClickHouseError

if TYPE_CHECKING:
    from collections.abc import Mapping

PARAMETER = "param_"
# It comes back in a header of the answer.
_QUERY_ID = re.compile(r"[\x21-\x7e]{1,128}")
# Parameters of the transport that change nothing here: every answer is complete before its first
# byte is sent, and no session outlives its request.
_IGNORED = frozenset(
    {
        "buffer_size", "cancel_http_readonly_queries_on_client_close", "client_protocol_version",
        "close_session", "http_headers_progress_interval_ms", "http_zlib_compression_level", "quota_key",
        "send_progress_in_http_headers", "session_id", "session_timeout", "stacktrace", "wait_end_of_query",
    }
)  # fmt: skip
_OURS = frozenset(
    {
        "compress", "database", "decompress", "default_format", "enable_http_compression", "password", "query",
        "query_id", "role", "session_check", "user",
    }
)  # fmt: skip
_REFUSED = {
    "compress": "ClickHouse's own block compression: use Accept-Encoding with enable_http_compression=1",
    "decompress": "ClickHouse's own block compression: use Content-Encoding",
    "role": "roles: a user has the rights of that user",
}
_OFF = frozenset({"", "0", "false"})


@dataclass(frozen=True, slots=True)
class Call:
    """What a request asks for, but for the body and the user."""

    query: str
    query_id: str
    database: str
    default_format: str
    compressed: bool
    settings: dict[str, str]
    params: dict[str, str]


def query_id(params: Mapping[str, str]) -> str:
    """The caller's name for the query; "" for none. Raises ClickHouseError for what no header can carry."""
    given = params.get("query_id", "")
    if given and not _QUERY_ID.fullmatch(given):
        raise ClickHouseError(
            BAD_ARGUMENTS, "query_id: use at most 128 characters of ASCII that can be seen, no blanks"
        )
    return given


def call_from(params: Mapping[str, str], headers: Mapping[str, str]) -> Call:
    """The call that URL parameters and headers make. Raises ClickHouseError for what is not supported."""
    for name, instead in _REFUSED.items():
        if params.get(name, "") not in _OFF:
            raise ClickHouseError(NOT_IMPLEMENTED, f"{name}={params[name]} is not supported, {instead}")
    if params.get("session_check", "") not in _OFF:
        raise ClickHouseError(
            SESSION_NOT_FOUND,
            "Session not found: sessions end with the request here, leave out session_check",
        )
    return Call(
        query=params.get("query", ""),
        query_id=query_id(params) or str(uuid.uuid4()),
        database=params.get("database") or headers.get("x-clickhouse-database", ""),
        default_format=params.get("default_format") or headers.get("x-clickhouse-format") or "TabSeparated",
        compressed=params.get("enable_http_compression", "") not in _OFF,
        settings={
            name: value
            for name, value in params.items()
            if name not in _IGNORED and name not in _OURS and not name.startswith(PARAMETER)
        },
        params={
            name.removeprefix(PARAMETER): value
            for name, value in params.items()
            if name.startswith(PARAMETER)
        },
    )
