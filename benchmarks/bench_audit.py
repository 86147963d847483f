"""How long the named audit queries take on the embedded ClickHouse, asked as the auditor over HTTP.

    python benchmarks/bench_audit.py [--rows 10000000]

Writes the rows of eight days with realistic cardinalities (2,000 subjects with a long tail, 8 services,
50,000 ids, 3,000 addresses, 6 % refused), plants a crawler and a bulk download in the last day, and asks every
query three times for the last day and three times for all eight. One line a query: the medians.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from audit import catalogue
from audit.run import Answer, Window, ask, values_from
from ledger.migrate import migrate
from tests.support.chserver_process import ChServerProcess

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from audit.catalogue import Query

DAYS = 8
TRIES = 3
LIMIT = 1000
GIVEN = {"who-accessed": {"resource": "/orders/42"}, "activity": {"subject": "user7"}}
# With so few of them, that a query finds nothing in the last day need not mean that it is wrong.
LEAST_ROWS = 200_000

ROWS = """
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
    concat('/', svc, '/', toString(toUInt32(50000 * c * c))) AS path,
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

PLANTED = """
INSERT INTO audit.access_log (time, received_at, service, subject, url_path, response_bytes, decision, batch)
SELECT {end:DateTime64(9, 'UTC')} - INTERVAL 3 HOUR AS began, began, 'files', who, path, bytes, 'allow', 'planted'
FROM (
    SELECT 'crawler' AS who, concat('/files/', toString(number)) AS path, 100 AS bytes FROM numbers(5000)
    UNION ALL SELECT 'mule', '/files/dump', 5000000000
)
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=2_000_000, help="rows in all (default: 2000000)")
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as home, ChServerProcess(Path(home)) as server:
        end = datetime.now(UTC).replace(microsecond=0)
        seconds = fill(server.writer_client(send_receive_timeout=600), rows, end)
        print(f"filled: {rows} rows in {seconds:.1f} s")
        reader = server.reader_client()
        for query in catalogue.load().values():
            day = timed(reader, query, Window(end - timedelta(days=1), end))
            week = timed(reader, query, Window(end - timedelta(days=DAYS), end))
            if rows >= LEAST_ROWS and not (day[1].rows and week[1].rows):
                raise SystemExit(f"{query.name} found nothing of {rows} rows")
            print(
                f"{query.name}: last day {day[0] * 1000:.0f} ms, {DAYS} days {week[0] * 1000:.0f} ms "
                f"({len(day[1].rows)} and {len(week[1].rows)} rows out)"
            )


def fill(writer: Client, rows: int, end: datetime) -> float:
    """Make the schema and the rows; the seconds that the rows took."""
    migrate(writer)
    moment = f"{end:%Y-%m-%d %H:%M:%S}"
    began = time.perf_counter()
    for first in range(0, rows, 500_000):
        span = {
            "first": first,
            "count": min(500_000, rows - first),
            "rows": rows,
            "days": DAYS,
            "end": moment,
        }
        writer.command(ROWS, parameters=span)
    writer.command(PLANTED, parameters={"end": moment})
    seconds = time.perf_counter() - began
    (stored,) = writer.query("SELECT count() FROM audit.access_log").result_rows[0]
    if stored != rows + 5001:
        raise SystemExit(f"{stored} rows are stored, not {rows + 5001}")
    return seconds


def timed(reader: Client, query: Query, window: Window) -> tuple[float, Answer]:
    """Median seconds of an answer, and the last one."""
    values = values_from(query, GIVEN.get(query.name, {}), {"timezone": "UTC"}, window.until)
    seconds = []
    for _ in range(TRIES):
        began = time.perf_counter()
        answer = ask(reader, query, window, LIMIT, values)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds), answer


if __name__ == "__main__":
    main()
