"""Two weeks in November, as docs/audit.md shows them: what each named query has to tell of."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.integration.audit.conftest import Ledger

OLD, NEW = "3b1f" * 16, "9c47" * 16
ALLOWED = {
    "reason_code": "rule_allow",
    "policy_version": NEW,
    "config_version": "77aa",
    "envoy_node": "edge-1",
}
FORWARDED = {"upstream_address": "10.9.0.1:8080", "response_code_details": "via_upstream"}
REFUSED = {
    "http_response_status_code": 403,
    "response_code_details": "ext_authz_denied",
    "policy_version": NEW,
    "config_version": "77aa",
    "envoy_node": "edge-1",
}
_WALK = """(time, received_at, subject, service, url_path, action, auth_method, decision, reason_code, policy_version,
 config_version, client_address, http_response_status_code, response_bytes, upstream_address, response_code_details,
 duration_us, authz_duration_us, decide_us, rule, envoy_node, decision_id, request_id, entry_type, batch)
SELECT toDateTime64('2026-11-20 03:10:00', 9, 'UTC') + toIntervalSecond(number) AS began, began, 'mallory', 'orders',
    concat('/orders/', toString(1000 + number)), 'GET', 'jwt', 'allow', 'rule_allow', '{version}', '77aa',
    toIPv6('::ffff:203.0.113.9'), if(number % 3 = 0, 404, 200), 2000, '10.9.0.1:8080', 'via_upstream', 2000 + number, 700, 80,
    'p, role:customer, orders, /orders/:id, GET, allow', 'edge-1', concat('w', toString(number)), concat('q', toString(number)),
    'DownstreamEnd', 'walk'
FROM numbers(120)"""


def tell(ledger: Ledger) -> None:
    """Plant it all."""
    office = {"client_address": "::ffff:192.0.2.10", "user_agent_original": "Firefox/145"}
    timed = {"duration_us": 3100, "authz_duration_us": 800, "decide_us": 90}
    for day in ("13", "14", "16", "17", "18"):
        ledger.plant(
            f"{day} 09:00",
            "alice",
            **{**ALLOWED, "policy_version": OLD},
            **FORWARDED,
            **office,
            response_bytes=400_000,
        )
    order = {"rule": "p, role:customer, orders, /orders/:id, GET, allow", "rule_line": 4}
    ledger.plant("20 09:00", "alice", **ALLOWED, **FORWARDED, **office, **timed, **order, response_bytes=812)
    ledger.plant(
        "20 09:05",
        "alice",
        **ALLOWED,
        **FORWARDED,
        **timed,
        service="files",
        url_path="/files/export",
        client_address="::ffff:198.51.100.7",
        response_bytes=250_000_000,
        rule="p, role:customer, files, /files/*, GET, allow",
    )
    for minute in (30, 31):
        ledger.plant(
            f"20 10:{minute}",
            "bob",
            "deny",
            **REFUSED,
            **office,
            service="billing",
            url_path="/billing/7",
            reason_code="rule_deny",
            reason="a deny rule matched",
            rule_line=12,
            rule="p, role:support, billing, /billing/*, GET, deny",
        )
    nobody = {
        "auth_method": "none",
        "client_address": "::ffff:203.0.113.50",
        "user_agent_original": "curl/8.11",
    }
    ledger.plant(
        "20 11:00",
        "anonymous",
        "deny",
        **{**REFUSED, "http_response_status_code": 401},
        **nobody,
        reason_code="unauthenticated",
        reason="no credentials",
        url_path="/orders/1",
    )
    ledger.plant(
        "20 11:30",
        "",
        "error",
        **{
            **REFUSED,
            "policy_version": "",
            "http_response_status_code": 503,
            "response_code_details": "ext_authz_error",
        },
        reason_code="authz_timeout_or_unreachable",
        auth_method="",
        client_address="::ffff:192.0.2.10",
        decision_id="",
        response_flags=["UAEX"],
        authz_duration_us=1_000_000,
    )
    ledger.plant_all(_WALK.format(version=NEW))
    ledger.writer.insert("audit.policies", [[NEW]], column_names=["policy_version"])
