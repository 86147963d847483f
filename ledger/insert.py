"""One load is one INSERT of one block into one partition: ClickHouse stores all of it or nothing.

Nothing is left to defaults, which have changed between releases; see docs/design/ledger.md.
"""

from __future__ import annotations

import functools
import itertools
import json
import re
from importlib import resources
from typing import TYPE_CHECKING, cast

from ledger.framing import varint
from ledger.target import TARGETS

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from clickhouse_connect.driver.client import Client

    from ledger.plan import Load

# Settings that not every release knows: those that make an INSERT one, and those that make it cheaper.
_ONCE: dict[str, str | int] = {"deduplicate_insert": "enable", "use_strict_insert_block_limits": 0}
_CHEAP: dict[str, str | int] = {
    # The views have nothing to push down; looking for it takes a quarter of the analysis.
    "query_plan_enable_optimizations": 0,
    # The first merge builds them.
    "materialize_skip_indexes_on_insert": 0,
}


def insert(client: Client, load: Load, token: str, redact: Sequence[str] = ()) -> None:
    """Store the load; the same token stores it once. Raises clickhouse_connect's errors.

    `redact`: names of parameters whose values are secrets, beside those that the view knows.

    After a transport error the outcome is unknown.
    """
    _send(client, load, settings(load, token, client.server_settings, redact))


def attempt(client: Client, load: Load) -> None:
    """Read and shape the load as `insert` would, and store nothing. Raises what `insert` would."""
    _send(client, load, settings(load, "", client.server_settings))


def _send(client: Client, load: Load, said: dict[str, str | int]) -> None:
    pieces = body(load)
    size = sum(map(len, pieces))
    client.raw_insert(
        TARGETS[load.kind].landing,
        # A generator: bytes would be sent again by the driver itself when the connection breaks.
        # (The driver's type knows no views; the socket below takes them.)
        insert_block=(cast("bytes", piece) for piece in pieces),
        fmt="ProtobufList",
        settings=said,
        # With its length known the body is sent as it is, not in chunks that are copied once more.
        transport_settings={"Content-Length": str(size)},
    )


def body(load: Load) -> list[bytes | memoryview]:
    """The load as FORMAT ProtobufList, in pieces: one message, behind its length."""
    return [varint(load.size), *(part for batch in load.batches for part in batch.parts)]


def settings(
    load: Load, token: str, known: Container[str] = (), redact: Sequence[str] = ()
) -> dict[str, str | int]:
    """The settings of the load's INSERT; without a token nothing will be stored. Pure."""
    target = TARGETS[load.kind]
    return {
        "log_comment": _about(load, redact, trial=not token),
        "format_schema_source": "string",
        "format_schema": _schema(target.schema, target.message),
        "format_schema_message_name": target.message,
        "input_format_allow_errors_num": 0,
        "input_format_allow_errors_ratio": 0,
        # Answered when stored, not before.
        "async_insert": 0,
        "wait_end_of_query": 1,
        "materialized_views_ignore_errors": 0,
        # One block.
        "max_insert_threads": 1,
        "max_insert_block_size": load.rows + 1,
        "min_insert_block_size_rows": load.rows + 1,
        "min_insert_block_size_bytes": 2**40,
        # One partition.
        "max_partitions_per_insert_block": 1,
        "throw_on_max_partitions_per_insert_block": 1,
        # Once.
        "insert_deduplicate": 1 if token else 0,
        "insert_deduplication_token": token,
        "deduplicate_blocks_in_dependent_materialized_views": 1 if token else 0,
        **{name: value for name, value in (_ONCE if token else {}).items() if name in known},
        **{name: value for name, value in _CHEAP.items() if name in known},
    }


def _about(load: Load, redact: Sequence[str], *, trial: bool) -> str:
    """What the rows of each batch share, as the view reads it (0004_entries.sql)."""
    ends = itertools.accumulate(batch.rows for batch in load.batches)
    about: dict[str, object] = {
        "kind": load.kind,
        "first": [end - batch.rows for end, batch in zip(ends, load.batches, strict=True)],
        "batch": [batch.id for batch in load.batches],
        "node": [batch.source.node for batch in load.batches],
        "log_name": [batch.source.log_name for batch in load.batches],
        "received_at": [batch.received_at for batch in load.batches],
    }
    if any(batch.first for batch in load.batches):
        about["number"] = [batch.first for batch in load.batches]
    if redact:
        about["redact"] = "".join(f"|{re.escape(name)}" for name in redact)
    return json.dumps(about | {"trial": True} if trial else about, ensure_ascii=False)


@functools.cache
def _schema(file: str, type_: str) -> str:
    """The file of ledger/schema for entries of this type, without comments: it travels in the URL."""
    text = (resources.files("ledger") / "schema" / file).read_text(encoding="utf-8")
    text = text.replace("repeated HTTPAccessLogEntry", f"repeated {type_}")
    return " ".join(re.sub(r"//.*", "", text).split())
