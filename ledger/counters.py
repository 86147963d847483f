"""Readings of an Envoy's counters, from a spool into audit.envoy_counters; each reading once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clickhouse_connect.driver.client import Client

_MAX_VALUE = 2**64 - 1
_MAX_NAME = 256
# ClickHouse's DateTime64(3) in milliseconds since 1970; a clock that says more is wrong.
_MAX_MS = 9_223_372_036_854
_KNOWN = (
    "SELECT count() FROM audit.envoy_counters WHERE envoy_node = {node:String} "
    "AND time = fromUnixTimestamp64Milli({time:Int64}, 'UTC') "
    "AND started_at = fromUnixTimestamp64Milli({started_at:Int64}, 'UTC')"
)


@dataclass(frozen=True, slots=True)
class Counters:
    """What the counters of one Envoy said at one moment. Times in milliseconds since 1970."""

    node: str
    started_at: int
    time: int
    values: Mapping[str, int]

    @property
    def token(self) -> str:
        return f"counters/{self.node}/{self.started_at}/{self.time}"


def counters_from(origin: Mapping[str, Any], payload: bytes) -> Counters:
    """A reading out of a record of kind `counters`. Raises ValueError, KeyError and TypeError."""
    values = json.loads(payload)
    times = (origin["received_at"] // 10**6, origin["started_at"])
    if not all(isinstance(time, int) and 0 <= time <= _MAX_MS for time in times):
        raise ValueError("started_at is no time in ms since 1970")
    if not isinstance(values, dict) or not all(
        isinstance(value, int) and 0 <= value <= _MAX_VALUE for value in values.values()
    ):
        raise TypeError("counters must be whole numbers by name")
    named = {name[:_MAX_NAME].encode("utf-8", "replace").decode(): value for name, value in values.items()}
    return Counters(str(origin["node"])[:_MAX_NAME], times[1], times[0], named)


def store(client: Client, read: Counters) -> None:
    """Store the reading unless it is there. Raises clickhouse_connect's errors."""
    about = {"node": read.node, "time": read.time, "started_at": read.started_at}
    if not read.values or client.query(_KNOWN, parameters=about).result_rows[0][0]:
        return
    rows = [
        {
            "time": _seconds(read.time),
            "envoy_node": read.node,
            "started_at": _seconds(read.started_at),
            "name": name,
            "value": value,
        }
        for name, value in read.values.items()
    ]
    data = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode("utf-8", "replace")
    settings = {
        "async_insert": 0,
        "wait_end_of_query": 1,
        "insert_deduplicate": 1,
        "insert_deduplication_token": read.token,
    }
    client.command("INSERT INTO audit.envoy_counters FORMAT JSONEachRow", data=data, settings=settings)


def _seconds(milliseconds: int) -> str:
    """As ClickHouse's basic form of a DateTime64(3) takes it: seconds since 1970 with a fraction."""
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds}.{rest:03d}"
