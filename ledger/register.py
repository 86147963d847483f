"""The books beside audit.access_log: audit.batches, audit.unparsed, audit.policies; each row once.

Each is looked for before it is inserted, and its token makes a repeated insert one.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ledger import check, digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clickhouse_connect.driver.client import Client

    from ledger.plan import Batch, Policy, Unparsed

# The numbers come from what is stored, not from what was sent. HAVING: rows that are not all there
# make no row here.
_BATCH = f"""
INSERT INTO audit.batches (batch, envoy_node, log_name, kind, rows, bytes, sha256, rows_digest,
    digest_version, first_time, last_time, received_at, stored_at)
SELECT {{batch:String}}, {{node:String}}, {{log_name:String}}, {{kind:String}}, count(), {{bytes:UInt64}},
    {{sha256:String}}, {digest.expression()}, {digest.VERSION}, min(time), max(time),
    fromUnixTimestamp64Micro({{received_us:Int64}}, 'UTC'), now64(6)
FROM audit.access_log
WHERE {check.OF_BATCH}
HAVING count() = {{rows:UInt32}}
"""  # noqa: S608 - constants; values travel as parameters


@dataclass(frozen=True, slots=True)
class Totals:
    """What the ledger holds by its own books."""

    stored: int = 0
    batches: int = 0
    unparsed: int = 0


def totals(client: Client) -> Totals:
    """The sums over the books. Raises clickhouse_connect's errors."""
    stored, batches = client.query("SELECT sum(rows), count() FROM audit.batches").result_rows[0]
    unparsed = client.query("SELECT sum(greatest(entries, 1)) FROM audit.unparsed").result_rows[0][0]
    return Totals(int(stored), int(batches), int(unparsed))


def batch_stored(client: Client, batch: Batch, rows: int) -> bool:
    """Book a batch that is stored with this many rows; False if it was booked before."""
    of_batch = check.of_batch(batch)
    known = f"SELECT count() FROM audit.batches WHERE {check.OF_BATCH}"  # noqa: S608 - a constant
    if client.query(known, parameters=of_batch).result_rows[0][0]:
        return False
    parameters = {
        **of_batch,
        "node": batch.source.node,
        "log_name": batch.source.log_name,
        "kind": batch.source.kind,
        "bytes": len(batch.payload),
        "sha256": hashlib.sha256(batch.payload).hexdigest(),
        "rows": rows,
    }
    client.command(_BATCH, parameters=parameters, settings=_once(f"{batch.id}/batch"))
    return True


def kept(client: Client, unparsed: Unparsed, file: str) -> bool:
    """Book bytes that are in the quarantine file of this name; False if they were booked before."""
    known = "SELECT count() FROM audit.unparsed WHERE file = {file:String}"
    if client.query(known, parameters={"file": file}).result_rows[0][0]:
        return False
    row = {
        "received_at": _micros(unparsed.received_at),
        "envoy_node": unparsed.source.node,
        "log_name": unparsed.source.log_name,
        "cause": unparsed.cause,
        "size": len(unparsed.payload),
        "sha256": hashlib.sha256(unparsed.payload).hexdigest(),
        "file": file,
        "batch": unparsed.batch,
        "entries": unparsed.entries,
    }
    _insert(client, "unparsed", row, f"{unparsed.id}/unparsed")
    return True


def entries_kept(client: Client, batch: Batch) -> int:
    """How many entries of the batch are in quarantine."""
    found = client.query(
        "SELECT sum(entries) FROM audit.unparsed WHERE batch = {batch:String}", parameters={"batch": batch.id}
    )
    return int(found.result_rows[0][0])


def policy_decided(client: Client, policy: Policy) -> bool:
    """Book a policy text; False if its version was booked before."""
    known = "SELECT count() FROM audit.policies WHERE policy_version = {version:String}"
    if client.query(known, parameters={"version": policy.version}).result_rows[0][0]:
        return False
    row = {
        "policy_version": policy.version,
        "model": policy.model,
        "policy": policy.policy,
        "model_path": policy.model_path,
        "policy_path": policy.policy_path,
        "node": policy.node,
        "received_at": _micros(policy.received_at),
    }
    _insert(client, "policies", row, f"{policy.version}/policy")
    return True


def _insert(client: Client, table: str, row: Mapping[str, object], token: str) -> None:
    data = json.dumps(row, ensure_ascii=False).encode("utf-8", "replace")
    client.command(f"INSERT INTO audit.{table} FORMAT JSONEachRow", data=data, settings=_once(token))


def _once(token: str) -> dict[str, str | int]:
    return {
        "async_insert": 0,
        "wait_end_of_query": 1,
        "insert_deduplicate": 1,
        "insert_deduplication_token": token,
        "date_time_input_format": "best_effort",
    }


def _micros(nanoseconds: int) -> str:
    seconds, rest = divmod(nanoseconds // 1000, 10**6)
    moment = dt.datetime.fromtimestamp(seconds, dt.UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{rest:06d}"
