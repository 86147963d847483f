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
from ledger.errors import StuckError
from ledger.plan import Load
from ledger.target import ENTRY_KINDS, TARGETS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from clickhouse_connect.driver.client import Client

    from ledger.plan import Batch, Policy, Unparsed

# The numbers come from what is stored, not from what was sent. HAVING: rows that are not all there
# make no row here.
_BATCHES = """
INSERT INTO audit.batches (batch, envoy_node, log_name, kind, rows, bytes, sha256, rows_digest,
    digest_version, first_time, last_time, received_at, stored_at)
SELECT batch, any(envoy_node), any({log_name}), {{kind:String}}, count(),
    {{bytes:Array(UInt64)}}[indexOf({{batches:Array(String)}}, batch)],
    {{sha256:Array(String)}}[indexOf({{batches:Array(String)}}, batch)],
    {digest}, {version}, min(time), max(time), any(received_at), now64(6)
FROM {table}
WHERE {of_batches}
GROUP BY batch
HAVING count() = {{rows:Array(UInt64)}}[indexOf({{batches:Array(String)}}, batch)]
"""
_TOTALS = (
    "SELECT sumIf(rows, kind IN {kinds:Array(String)}), sumIf(rows, kind NOT IN {kinds:Array(String)}), count() "
    "FROM audit.batches"
)
_BOOKED = f"SELECT batch FROM audit.batches WHERE {check.OF_BATCHES}"  # noqa: S608 - a constant


@dataclass(frozen=True, slots=True)
class Totals:
    """What the ledger holds by its own books."""

    stored: int = 0
    batches: int = 0
    unparsed: int = 0
    decisions: int = 0


def totals(client: Client) -> Totals:
    """The sums over the books. Raises clickhouse_connect's errors."""
    stored, decisions, batches = client.query(_TOTALS, parameters={"kinds": list(ENTRY_KINDS)}).result_rows[0]
    unparsed = client.query("SELECT sum(greatest(entries, 1)) FROM audit.unparsed").result_rows[0][0]
    return Totals(int(stored), int(batches), int(unparsed), int(decisions))


def batches_stored(client: Client, rows: Mapping[Batch, int], *, tried: bool = True) -> list[Batch]:
    """Book batches, of one kind, that are stored with so many rows; gives those not booked before.

    `tried`: whether they may be booked already.
    """
    known = _booked(client, list(rows)) if tried else set()
    new = [batch for batch in rows if batch.id not in known]
    if not new:
        return []
    parameters = {
        **check.of_batches(new),
        "kind": new[0].source.kind,
        "bytes": [batch.size for batch in new],
        "sha256": [batch.sha256 for batch in new],
        "rows": [rows[batch] for batch in new],
    }
    client.command(
        _batches(new[0].source.kind),
        parameters=parameters,
        settings=_once(f"{Load(tuple(new)).token}/batches"),
    )
    missing = {batch.id for batch in new} - _booked(client, new)
    if missing:
        raise StuckError(f"batches {sorted(missing)}: stored, but not to be found in audit.batches")
    return new


def _batches(kind: str) -> str:
    """The statement that books batches of this kind, out of constants; values travel as parameters."""
    return _BATCHES.format(
        log_name="node" if kind == "decision" else "log_name",
        digest=digest.expression(kind=kind),
        version=digest.VERSION,
        table=TARGETS[kind].table,
        of_batches=check.OF_BATCHES,
    )


def _booked(client: Client, batches: Sequence[Batch]) -> set[str]:
    return {row[0] for row in client.query(_BOOKED, parameters=check.of_batches(batches)).result_rows}


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
