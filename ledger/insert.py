"""One batch is one INSERT of one block into one partition: ClickHouse stores all of it or nothing.

Nothing is left to defaults, which have changed between releases; see docs/design/ledger.md.
"""

from __future__ import annotations

import functools
import json
import re
from importlib import resources
from typing import TYPE_CHECKING

from ledger.framing import varint

if TYPE_CHECKING:
    from collections.abc import Container

    from clickhouse_connect.driver.client import Client

    from ledger.plan import Batch

_STATEMENT = "INSERT INTO audit.entries FORMAT ProtobufList"
_TYPES = {"http": "HTTPAccessLogEntry", "tcp": "TCPAccessLogEntry"}
# Settings that not every release knows.
_NEWER: dict[str, str | int] = {"deduplicate_insert": "enable", "use_strict_insert_block_limits": 0}


def insert(client: Client, batch: Batch, token: str) -> None:
    """Store the batch; the same token stores it once. Raises clickhouse_connect's errors.

    After a transport error the outcome is unknown.
    """
    # `command`, because `raw_insert` sends the body again by itself when the connection breaks.
    client.command(_STATEMENT, data=body(batch), settings=settings(batch, token, client.server_settings))


def attempt(client: Client, batch: Batch) -> None:
    """Read and shape the batch as `insert` would, and store nothing. Raises what `insert` would."""
    client.command(_STATEMENT, data=body(batch), settings=settings(batch, "", client.server_settings))


def body(batch: Batch) -> bytes:
    """The batch as FORMAT ProtobufList: one message, behind its length."""
    return varint(len(batch.payload)) + batch.payload


def settings(batch: Batch, token: str, known: Container[str] = ()) -> dict[str, str | int]:
    """The settings of the batch's INSERT; without a token nothing will be stored. Pure."""
    type_ = _TYPES[batch.source.kind]
    return {
        "log_comment": _about(batch, trial=not token),
        "format_schema_source": "string",
        "format_schema": _schema(type_),
        "format_schema_message_name": type_,
        "input_format_allow_errors_num": 0,
        "input_format_allow_errors_ratio": 0,
        # Answered when stored, not before.
        "async_insert": 0,
        "wait_end_of_query": 1,
        "materialized_views_ignore_errors": 0,
        # One block.
        "max_insert_threads": 1,
        "max_insert_block_size": batch.rows + 1,
        "min_insert_block_size_rows": batch.rows + 1,
        "min_insert_block_size_bytes": 2**40,
        # One partition.
        "max_partitions_per_insert_block": 1,
        "throw_on_max_partitions_per_insert_block": 1,
        # Once.
        "insert_deduplicate": 1 if token else 0,
        "insert_deduplication_token": token,
        "deduplicate_blocks_in_dependent_materialized_views": 1 if token else 0,
        **{name: value for name, value in _NEWER.items() if name in known and token},
    }


def _about(batch: Batch, *, trial: bool) -> str:
    """What all rows share, as the view reads it (0004_entries.sql)."""
    source = batch.source
    about: dict[str, object] = {"batch": batch.id, "kind": source.kind, "log_name": source.log_name}
    about |= {"node": source.node, "received_at": batch.received_at}
    return json.dumps(about | {"trial": True} if trial else about, ensure_ascii=False)


@functools.cache
def _schema(type_: str) -> str:
    """ledger/schema/entry.proto for entries of this type, without comments: it travels in the URL."""
    text = (resources.files("ledger") / "schema" / "entry.proto").read_text(encoding="utf-8")
    text = text.replace("repeated HTTPAccessLogEntry", f"repeated {type_}")
    return " ".join(re.sub(r"//.*", "", text).split())
