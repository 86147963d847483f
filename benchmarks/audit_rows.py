"""Rows of eight days for the audit benchmarks, made in ClickHouse: access_log, the journal of decisions, counters.

A home that is given is filled once and used again; it says in filled.json with what, and up to when.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ledger.migrate import migrate

if TYPE_CHECKING:
    from pathlib import Path

    from clickhouse_connect.driver.client import Client

DAYS = 8
_CHUNK = 500_000
_PLANTED = 5001

_ROWS = """
INSERT INTO audit.access_log (
    time, received_at, request_id, decision_id, envoy_node, log_name, service, upstream_address, subject,
    subject_roles, auth_method, client_address, http_request_method, url_path, user_agent_original,
    http_response_status_code, response_code_details, request_bytes, response_bytes, duration_us,
    authz_duration_us, decide_us, decision, reason_code, reason, rule, rule_line, policy_version, config_version,
    action, resource, entry_type, batch, batch_row)
WITH
    -- Draws between 0 and 1 that do not follow one another.
    cityHash64(number, 1) / 18446744073709551616. AS a,
    cityHash64(number, 2) / 18446744073709551616. AS b,
    cityHash64(number, 3) / 18446744073709551616. AS c,
    cityHash64(number, 4) / 18446744073709551616. AS d,
    {end:DateTime64(9, 'UTC')} - toIntervalMicrosecond(toUInt64(number * {days:UInt32} * 86400000000. / {rows:UInt64}) + 1)
        AS began,
    ['orders', 'billing', 'admin', 'search', 'users', 'files', 'reports', 'mail'][1 + toUInt8(8 * b * b)] AS svc,
    -- Of 50,000 ids any, or the same few for each subject again and again.
    toUInt32(if({habits:UInt32} = 0, 50000 * c * c, cityHash64(who, toUInt32({habits:UInt32} * c * c)) % 50000)) AS id,
    concat('/', svc, '/', toString(id)) AS path,
    if(d < 0.01, 'anonymous', concat('user', toString(toUInt32(2000 * a * a * a)))) AS who,
    multiIf(d < 0.06, 'deny', d < 0.063, 'error', d < 0.064, 'not_evaluated', d < 0.0641, 'fail_open', 'allow') AS outcome,
    outcome IN ('allow', 'deny') AS decided,
    toUInt32(50 + 400 * a) AS thought_us,
    if(outcome = 'deny' AND who = 'anonymous', 'unauthenticated',
        transform(outcome, ['allow', 'deny', 'error'], ['rule_allow', 'no_matching_rule', 'authz_timeout_or_unreachable'],
            outcome)) AS code
SELECT
    began, began + INTERVAL 1 SECOND, toString(generateUUIDv4()), if(decided, toString(generateUUIDv7()), ''),
    'edge-1', 'gateledger', svc, if(outcome IN ('allow', 'fail_open'), '10.9.0.1:8080', ''), if(decided, who, ''),
    ['role:customer'], if(decided, if(who = 'anonymous', 'none', 'jwt'), ''),
    toIPv6(concat('::ffff:10.0.', toString(toUInt8(12 * a)), '.', toString(toUInt8(250 * b)))),
    if(b < 0.8, 'GET', 'POST'), path, concat('agent/', toString(toUInt8(50 * c))),
    transform(outcome, ['deny', 'error', 'not_evaluated'], [403, 503, 404], 200),
    transform(outcome, ['deny', 'error', 'not_evaluated'], ['ext_authz_denied', 'ext_authz_error', 'route_not_found'],
        'via_upstream'),
    toUInt64(500 * a), toUInt64(20000 * c), toUInt64(1000 + 50000 * b * b * b) + thought_us, thought_us + 200, thought_us,
    outcome, code, if(decided, 'because', ''), if(outcome = 'allow', 'p, role:customer, *, /*, *, allow', ''),
    if(outcome = 'allow', 7, 0),
    if(decided, toString(intDiv(number * 3, {rows:UInt64})), ''), if(decided, 'c1', ''), if(decided, 'GET', ''),
    if(decided, path, ''), 'DownstreamEnd', concat('b', toString(intDiv(number, 20000))), number % 20000
FROM numbers({first:UInt64}, {count:UInt64})
"""

_PLANT = """
INSERT INTO audit.access_log (time, received_at, service, subject, url_path, response_bytes, decision, batch)
SELECT {end:DateTime64(9, 'UTC')} - INTERVAL 3 HOUR AS began, began, 'files', who, path, bytes, 'allow', 'planted'
FROM (
    SELECT 'crawler' AS who, concat('/files/', toString(number)) AS path, 100 AS bytes FROM numbers(5000)
    UNION ALL SELECT 'mule', '/files/dump', 5000000000
)
"""

# A decision for each record that names one, less ten, which `gaps` has to find; and ten that have no record.
_DECISIONS = """
INSERT INTO audit.decision_log (time, received_at, decision_id, request_id, envoy_node, effect, reason_code, batch)
SELECT time, received_at, if(batch_row % 20000 = 7 AND number_of_batch < 10, concat('lost', decision_id), decision_id),
    request_id, envoy_node, toString(decision), reason_code, batch
FROM (
    SELECT *, toUInt32OrZero(substring(batch, 2)) AS number_of_batch
    FROM audit.access_log WHERE decision_id != '' AND toDate(received_at) = {day:Date}
)
"""

# A reading of Envoy's counters every ten seconds, as the ledger's own rows have them.
_COUNTERS = """
INSERT INTO audit.envoy_counters (time, envoy_node, started_at, name, value)
SELECT read_at, 'edge-1', {start:DateTime64(3, 'UTC')}, counter.1, counter.2
FROM (
    SELECT
        toStartOfInterval(log.time + toIntervalMicrosecond(log.duration_us), INTERVAL 10 SECOND)
            + INTERVAL 10 SECOND AS read_at,
        sum(count()) OVER upto AS ended,
        sum(countIf(decision = 'allow')) OVER upto AS passed,
        sum(countIf(decision = 'deny')) OVER upto AS refused
    FROM audit.access_log AS log
    WHERE envoy_node = 'edge-1'
    GROUP BY read_at
    WINDOW upto AS (ORDER BY read_at ROWS UNBOUNDED PRECEDING)
)
ARRAY JOIN [
    ('http.edge.downstream_rq_completed', ended), ('http.edge.downstream_rq_active', 0),
    ('access_logs.grpc_access_log.logs_written', ended), ('access_logs.grpc_access_log.grpc_entries_flushed', ended),
    ('http.edge.ext_authz.ok', passed), ('http.edge.ext_authz.denied', refused)] AS counter
"""


@dataclass(frozen=True, slots=True)
class Filled:
    """What is there: rows of access_log, and the moment that they end at."""

    rows: int
    habits: int
    end: datetime


def filled(home: Path, writer: Client, rows: int, habits: int) -> Filled:
    """Make schema and rows, or take those that are there. Raises SystemExit when they are others."""
    note = home / "filled.json"
    if note.exists():
        said = json.loads(note.read_text(encoding="utf-8"))
        found = Filled(said["rows"], said["habits"], datetime.fromisoformat(said["end"]))
        if (found.rows, found.habits) != (rows, habits):
            raise SystemExit(
                f"{home} holds {found.rows} rows with --habits {found.habits}: name another --home"
            )
        return found
    end = datetime.now(UTC).replace(microsecond=0)
    migrate(writer)
    _fill(writer, rows, habits, f"{end:%Y-%m-%d %H:%M:%S}")
    note.write_text(json.dumps({"rows": rows, "habits": habits, "end": end.isoformat()}), encoding="utf-8")
    return Filled(rows, habits, end)


def _fill(writer: Client, rows: int, habits: int, end: str) -> None:
    for first in range(0, rows, _CHUNK):
        count = min(_CHUNK, rows - first)
        span = {"first": first, "count": count, "rows": rows, "days": DAYS, "habits": habits, "end": end}
        writer.command(_ROWS, parameters=span)
    writer.command(_PLANT, parameters={"end": end})
    (stored,) = writer.query("SELECT count() FROM audit.access_log").result_rows[0]
    if stored != rows + _PLANTED:
        raise SystemExit(f"{stored} rows are stored, not {rows + _PLANTED}")


def witnesses(writer: Client) -> None:
    """The journal and the counters that go with the rows; nothing where they are there."""
    if writer.query("SELECT count() FROM audit.decision_log").result_rows[0][0]:
        return
    for (day,) in writer.query(
        "SELECT DISTINCT toString(toDate(received_at)) FROM audit.access_log"
    ).result_rows:
        writer.command(_DECISIONS, parameters={"day": day})
    start = writer.query("SELECT toString(min(time) - INTERVAL 1 HOUR) FROM audit.access_log").result_rows[0][
        0
    ]
    writer.command(_COUNTERS, parameters={"start": start[:23]})
