"""Entries for tests of the ledger: made into batches, and read back as rows."""

from __future__ import annotations

import itertools
import json
import time
from typing import Any

from clickhouse_connect.driver.client import Client

from ledger import plan
from ledger.plan import Batch, Source
from protos.gen import accesslog_pb2 as accesslog
from protos.gen import als_pb2 as als

HTTP = als.StreamAccessLogsMessage.HTTPAccessLogEntries
TCP = als.StreamAccessLogsMessage.TCPAccessLogEntries
NUMBERS = itertools.count()
TYPES = {accesslog.HTTPAccessLogEntry: ("http", HTTP), accesslog.TCPAccessLogEntry: ("tcp", TCP)}


def payload_of(*entries: Any) -> bytes:
    """The entries, all of one type, as Envoy's message carries them."""
    message: bytes = TYPES[type(entries[0])][1](log_entry=entries).SerializeToString()
    return message


def paths(*paths: str) -> bytes:
    """The payload of HTTP entries with these paths."""
    return payload_of(*(accesslog.HTTPAccessLogEntry(request={"path": path}) for path in paths))


def batch_of(*entries: Any, id_: str = "", node: str = "node-1", received_at: int = 0) -> Batch:
    """One batch of the entries, which are all of one type."""
    return plan.batch_of(
        id_ or f"{time.time_ns():020}-{next(NUMBERS):016x}.0",
        Source(TYPES[type(entries[0])][0], node, "edge"),
        received_at or time.time_ns(),
        [payload_of(*entries)],
        len(entries),
    )


def select(client: Client, query: str) -> list[dict[str, Any]]:
    """Rows as ClickHouse writes them in JSON: times, addresses and enums as text."""
    answer = client.raw_query(
        query, fmt="JSONEachRow", settings={"output_format_json_quote_64bit_integers": 0}
    )
    return [json.loads(line) for line in answer.decode().splitlines()]
