"""The queries that were written for speed answer as the plain ones in plain/ do: on rows with ties, odd paths and gaps."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from audit import catalogue
from audit.run import Window, ask
from tests.integration.audit.conftest import Ledger

PLAIN = {
    path.stem: path.read_text(encoding="utf-8")
    for path in sorted(Path(__file__).with_name("plain").glob("*.sql"))
}
QUERIES = catalogue.load()
END = datetime(2026, 11, 20, tzinfo=UTC)
LIMITS = (1, 7, 50, 100_000)
# What new-access looks at first: with so few rows, the end of the window and then the whole are both met.
END_OF_A_WINDOW = "newer >= 1500000"
ROWS = """
(time, received_at, subject, service, url_path, decision, client_address, user_agent_original, envoy_node, action, rule,
 request_bytes, response_bytes, http_response_status_code, policy_version, entry_type, decision_id, request_id, batch)
WITH
    cityHash64(number, 1) AS a, cityHash64(number, 2) AS b, cityHash64(number, 3) AS c, cityHash64(number, 4) AS d,
    -- Each moment is that of all eight subjects and of no two rows of one: ties decide what comes out, and only that.
    intDiv(number, 8) AS turn,
    toDateTime64('2026-11-20 00:00:00', 9, 'UTC') - toIntervalMinute(1 + cityHash64(turn) % 14400)
        + toIntervalMicrosecond(turn) AS began,
    ['alice', 'bob', 'carol', 'anonymous', '', 'd''Arc', 'eve', 'mallory'][1 + number % 8] AS who,
    ['/orders/', '/orders', '', '/', '*', '/a/b/c/', 'x:443', '//'][1 + c % 8] AS stem
SELECT
    began,
    began + if(d % 50 = 0, toIntervalDay(3), toIntervalSecond(d % 3)) - if(d % 97 = 0, toIntervalHour(40), toIntervalHour(0)),
    who,
    ['orders', 'web', ''][1 + d % 3],
    if(c % 8 IN (0, 5), concat(stem, toString(intDiv(c, 8) % 12)), stem),
    ['allow', 'deny', 'error', 'fail_open', 'not_evaluated'][1 + least(b % 23, 4)],
    toIPv6(['::', '::ffff:10.0.0.1', '2001:db8::1', '::ffff:10.0.0.2', '::1'][1 + a % 5]),
    ['', 'curl', 'agent'][1 + a % 3], ['edge', '', 'far'][1 + b % 3], ['GET', 'PUT'][1 + c % 2], toString(d % 4),
    a % 1000, b % 1000, [200, 404, 403][1 + c % 3], ['v1', 'v2', ''][1 + d % 3],
    if(a % 29 = 0, 'DownstreamStart', 'DownstreamEnd'), toString(number), toString(number), 'b'
FROM numbers(6000)
"""
GIVEN = [
    pytest.param("enumeration", {"min_resources": "1"}, id="enumeration of anything"),
    pytest.param("enumeration", {"min_resources": "3", "service": "web"}, id="enumeration at one service"),
    pytest.param("new-access", {}, id="new-access"),
    pytest.param("new-access", {"depth": "1", "history_days": "2"}, id="new-access, short and shallow"),
    pytest.param("new-access", {"history_days": "0", "service": "orders"}, id="new-access at one service"),
    pytest.param("off-hours", {}, id="off-hours"),
    pytest.param("policy-versions", {}, id="policy-versions"),
    pytest.param("sources", {}, id="sources"),
    pytest.param("sources", {"subject": "alice", "service": "web"}, id="sources of one"),
    pytest.param("top-denied", {}, id="top-denied"),
    pytest.param("top-denied", {"service": "web"}, id="top-denied at one service"),
    pytest.param("top-resources", {}, id="top-resources"),
    pytest.param("top-resources", {"depth": "1"}, id="top-resources by one segment"),
    pytest.param("top-resources", {"depth": "255", "service": "web"}, id="top-resources, deep"),
    pytest.param("top-subjects", {}, id="top-subjects"),
    pytest.param("who-accessed", {"resource": "/orders/1"}, id="who-accessed"),
    pytest.param("who-accessed", {"resource": "/orders*"}, id="who-accessed below"),
    pytest.param("who-accessed", {"resource": "*"}, id="who-accessed, a star"),
]


@pytest.fixture(scope="module")
def many(filled: Ledger) -> Ledger:
    filled.clear()
    filled.plant_all(ROWS)
    return filled


def test_every_plain_query_is_held_against_its_own():
    assert set(PLAIN) == {parameter.values[0] for parameter in GIVEN}


@pytest.mark.parametrize("days", [pytest.param(1, id="a day"), pytest.param(9, id="nearly all")])
@pytest.mark.parametrize(("name", "given"), GIVEN)
def test_the_fast_query_answers_as_the_plain_one(many: Ledger, name: str, given: dict[str, str], days: int):
    query = QUERIES[name]
    fast, plain = (replace(query, sql=sql) for sql in (query.sql, PLAIN[name]))
    if name == "new-access":
        assert END_OF_A_WINDOW in fast.sql
        fast = replace(fast, sql=fast.sql.replace(END_OF_A_WINDOW, "newer >= 150"))
    window = Window(END - timedelta(days=days), END)

    for limit in LIMITS:
        expected, answer = (
            ask(many.reader, one, window, limit, many.values(query, given)) for one in (plain, fast)
        )

        assert expected.rows
        assert expected == answer
