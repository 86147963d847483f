"""rows_digest of audit.batches: SHA-256 over the stored columns of a batch, computed by ClickHouse. Pure.

Each row is written as RowBinary of the columns of one version, those of few values first, and hashed; the digest
is the hash of these hashes in the order of batch_row. RowBinary carries lengths and exact values, so
no two different batches are written alike. A version's columns never change: a later column is part
of a later version, and batches keep the version that they were digested with.
"""

from __future__ import annotations

VERSION = 1

COLUMNS: dict[int, tuple[str, ...]] = {
    1: (
        "time",
        "received_at",
        "request_id",
        "own_stream_id",
        "trace_id",
        "decision_id",
        "envoy_node",
        "log_name",
        "service",
        "route_name",
        "upstream_cluster",
        "upstream_address",
        "subject",
        "subject_roles",
        "auth_method",
        "auth_issuer",
        "client_address",
        "client_direct_address",
        "http_request_method",
        "url_scheme",
        "server_address",
        "url_path",
        "url_path_upstream",
        "url_query",
        "user_agent_original",
        "network_protocol",
        "tls_version",
        "tls_peer_san",
        "http_response_status_code",
        "response_code_details",
        "response_flags",
        "request_bytes",
        "response_bytes",
        "duration_us",
        "authz_duration_us",
        "decide_us",
        "decision",
        "reason_code",
        "reason",
        "rule",
        "rule_line",
        "policy_version",
        "config_version",
        "action",
        "resource",
        "entry_type",
        "batch",
        "batch_row",
    ),
}


# The same for batches of kind "decision", which are rows of audit.decision_log.
DECISION_COLUMNS: dict[int, tuple[str, ...]] = {
    1: (
        "time",
        "received_at",
        "node",
        "envoy_node",
        "decision_id",
        "request_id",
        "effect",
        "reason_code",
        "subject",
        "subject_roles",
        "service",
        "action",
        "resource",
        "rule",
        "rule_line",
        "policy_version",
        "config_version",
        "decide_us",
        "batch",
        "batch_row",
    ),
}


# Those that are LowCardinality: written first, each by itself, for then ClickHouse writes every value of such a
# column's dictionary once and not every row's, which saves a quarter of the digest's time.
_FEW_VALUES = frozenset(
    {
        "envoy_node",
        "log_name",
        "service",
        "route_name",
        "upstream_cluster",
        "upstream_address",
        "auth_method",
        "auth_issuer",
        "http_request_method",
        "url_scheme",
        "server_address",
        "network_protocol",
        "tls_version",
        "response_code_details",
        "reason_code",
        "policy_version",
        "config_version",
        "action",
        "entry_type",
        "batch",
        "node",
        "effect",
    }
)


def expression(version: int = VERSION, kind: str = "http") -> str:
    """The aggregate that gives the digest, lower-case hex, over the rows of one batch of this kind."""
    columns = DECISION_COLUMNS[version] if kind == "decision" else COLUMNS[version]
    few = [f"formatRow('RowBinary', {name})" for name in columns if name in _FEW_VALUES]
    others = ", ".join(name for name in columns if name not in _FEW_VALUES)
    row = f"SHA256(concat({', '.join(few)}, formatRow('RowBinary', {others})))"
    ordered = f"arraySort(pair -> pair.1, groupArray((batch_row, {row})))"
    return f"lower(hex(SHA256(arrayStringConcat(arrayMap(pair -> pair.2, {ordered})))))"
