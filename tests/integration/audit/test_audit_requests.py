"""Single requests: who-accessed, activity, denied, authz-errors. Asked as the auditor on the real engine: exact rows of crafted data."""

from __future__ import annotations

import pytest

from tests.integration.audit.conftest import Ledger, at, some


def test_who_accessed_shows_every_request_for_a_resource_newest_first(ledger: Ledger):
    ledger.plant("20 09:00", "alice", response_bytes=17, reason_code="rule_allow")
    ledger.plant(
        "20 10:00",
        "bob",
        "deny",
        action="DELETE",
        reason_code="rule_deny",
        http_response_status_code=403,
        client_address="2001:db8::ffff:1",
    )
    ledger.plant("20 10:01", "carol", url_path="/orders/10")
    ledger.plant("20 10:02", "dave", service="archive")

    assert [
        {
            "time": at("20 10:00"),
            "subject": "bob",
            "auth_method": "jwt",
            "action": "DELETE",
            "service": "orders",
            "url_path": "/orders/1",
            "decision": "deny",
            "reason_code": "rule_deny",
            "status_code": 403,
            "response_bytes": 0,
            "client_address": "2001:db8::ffff:1",
            "decision_id": "d2",
            "request_id": "r2",
        },
        {
            "time": at("20 09:00"),
            "subject": "alice",
            "auth_method": "jwt",
            "action": "GET",
            "service": "orders",
            "url_path": "/orders/1",
            "decision": "allow",
            "reason_code": "rule_allow",
            "status_code": 200,
            "response_bytes": 17,
            "client_address": "10.0.0.1",
            "decision_id": "d1",
            "request_id": "r1",
        },
    ] == ledger.ask("who-accessed", resource="/orders/1", service="orders")


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        pytest.param("/orders/1", ["/orders/1"], id="a whole path"),
        pytest.param("/orders/*", ["/orders/1", "/orders/10"], id="a star at the end is any rest"),
        pytest.param(
            "*", ["/orders", "/orders/1", "/orders/10", "/Orders/1"], id="a star alone is everything"
        ),
        pytest.param("/orders/%", [], id="no other wildcard"),
        pytest.param("/orders/_", [], id="nor that of LIKE"),
        pytest.param("", [], id="nothing"),
    ],
)
def test_a_resource_is_named_whole_or_by_its_beginning(ledger: Ledger, resource: str, expected: list[str]):
    for path in ("/orders", "/orders/1", "/orders/10", "/Orders/1"):
        ledger.plant("20 09:00", url_path=path)

    assert expected == [row["url_path"] for row in ledger.ask("who-accessed", resource=resource)]


@pytest.mark.parametrize(
    ("decision", "expected"),
    [
        pytest.param("", ["deny", "allow"], id="any"),
        pytest.param("allow", ["allow"], id="one"),
        pytest.param("error", [], id="one that no request met"),
    ],
)
def test_answers_can_be_narrowed_to_a_decision(ledger: Ledger, decision: str, expected: list[str]):
    ledger.plant("20 09:00", decision="allow")
    ledger.plant("20 09:01", decision="deny")

    asked = [
        ledger.ask("who-accessed", resource="/orders/1", decision=decision),
        ledger.ask("activity", subject="alice", decision=decision),
    ]

    assert [expected, expected] == [[row["decision"] for row in rows] for rows in asked]


def test_activity_shows_what_one_subject_did_and_tried(ledger: Ledger):
    ledger.plant("20 09:00", "bob")
    ledger.plant("20 09:00", "alice", request_bytes=5, response_bytes=6, user_agent_original="curl/8")
    ledger.plant("20 09:01", "alice", "deny", service="billing", url_path="/billing", reason_code="rule_deny")

    rows = ledger.ask("activity", subject="alice")

    assert [
        (at("20 09:01"), "billing", "/billing", "deny", "rule_deny", 0, 0, "10.0.0.1", "", "d3"),
        (at("20 09:00"), "orders", "/orders/1", "allow", "", 5, 6, "10.0.0.1", "curl/8", "d2"),
    ] == some(
        rows,
        *("time", "service", "url_path", "decision", "reason_code", "request_bytes", "response_bytes"),
        *("client_address", "user_agent_original", "decision_id"),
    )


def test_denied_shows_why_by_which_rule_and_which_policy(ledger: Ledger):
    ledger.plant(
        "20 09:00",
        "bob",
        "deny",
        service="billing",
        url_path="/billing/7",
        reason_code="rule_deny",
        reason="a deny rule matched",
        rule="p, role:support, billing, /billing/*, GET, deny",
        rule_line=12,
        policy_version="ab" * 32,
    )
    ledger.plant("20 09:01", "alice", "allow")
    ledger.plant("20 09:02", "", "error")

    assert [
        {
            "time": at("20 09:00"),
            "subject": "bob",
            "action": "GET",
            "service": "billing",
            "url_path": "/billing/7",
            "reason_code": "rule_deny",
            "reason": "a deny rule matched",
            "rule": "p, role:support, billing, /billing/*, GET, deny",
            "rule_line": 12,
            "policy_version": "ab" * 32,
            "decision_id": "d1",
            "client_address": "10.0.0.1",
        }
    ] == ledger.ask("denied")


def test_denied_can_be_narrowed_to_subject_and_service(ledger: Ledger):
    for subject in ("alice", "bob"):
        for service in ("orders", "billing"):
            ledger.plant("20 09:00", subject, "deny", service=service)

    assert [("bob", "billing")] == some(
        ledger.ask("denied", subject="bob", service="billing"), "subject", "service"
    )


def test_authz_errors_show_what_failed_and_what_passed_undecided(ledger: Ledger):
    ledger.plant(
        "20 09:00",
        "",
        "error",
        reason_code="authz_timeout_or_unreachable",
        response_code_details="ext_authz_error",
        response_flags=["UAEX"],
        http_response_status_code=503,
        authz_duration_us=1_000_000,
        envoy_node="edge-1",
        decision_id="",
    )
    ledger.plant("20 09:01", "", "fail_open", reason_code="fail_open", client_address="::")
    ledger.plant("20 09:02", "bob", "deny")

    rows = ledger.ask("authz-errors")

    assert [
        (at("20 09:01"), "fail_open", "fail_open", 200, "", [], 0, "", "", "d2"),
        (
            *(at("20 09:00"), "error", "authz_timeout_or_unreachable", 503, "ext_authz_error", ["UAEX"]),
            *(1_000_000, "edge-1", "10.0.0.1", ""),
        ),
    ] == some(
        rows,
        *("time", "decision", "reason_code", "status_code", "response_code_details", "response_flags"),
        *("authz_duration_us", "envoy_node", "client_address", "decision_id"),
    )
