"""What the entries of each kind become: where they land, how ClickHouse reads them, which table keeps them.

The kinds of a spool's records that become batches of rows; `ledger/plan.py` knows the others.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """`landing`: the Null table of the INSERT. `message`: the row's type in ledger/schema/`schema`.
    `table`: where the rows are kept.
    """

    landing: str
    schema: str
    message: str
    table: str


TARGETS = {
    "http": Target("audit.entries", "entry.proto", "HTTPAccessLogEntry", "audit.access_log"),
    "tcp": Target("audit.entries", "entry.proto", "TCPAccessLogEntry", "audit.access_log"),
    "decision": Target("audit.decisions", "decision.proto", "Decision", "audit.decision_log"),
}
# Those whose rows are what Envoy logged.
ENTRY_KINDS = tuple(kind for kind, target in TARGETS.items() if target.table == "audit.access_log")
