"""Refusals counted: denial-reasons, top-denied, unauthenticated. Asked as the auditor on the real engine: exact rows of crafted data."""

from __future__ import annotations

from tests.integration.audit.conftest import Ledger, at


def test_denial_reasons_count_refusals_and_failures(ledger: Ledger):
    ledger.plant("20 09:00", "alice", "deny", reason_code="rule_deny", url_path="/a")
    ledger.plant("20 09:01", "bob", "deny", reason_code="rule_deny", url_path="/b")
    ledger.plant("20 09:02", "bob", "deny", reason_code="rule_deny", url_path="/b")
    ledger.plant("20 09:03", "", "error", reason_code="authz_timeout_or_unreachable")
    ledger.plant("20 09:04", "alice", "allow", reason_code="rule_allow")

    assert [
        ("rule_deny", "deny", 3, 0.75, 2, 2, at("20 09:00"), at("20 09:02"), "d3"),
        ("authz_timeout_or_unreachable", "error", 1, 0.25, 1, 1, at("20 09:03"), at("20 09:03"), "d4"),
    ] == [tuple(row.values()) for row in ledger.ask("denial-reasons")]


def test_top_denied_shows_who_knocks_where_with_the_newest_rule(ledger: Ledger):
    ledger.plant("20 09:00", "bob", "deny", reason_code="rule_deny", rule="old", client_address="::1")
    ledger.plant("20 09:01", "bob", "deny", reason_code="rule_deny", rule="new")
    ledger.plant("20 09:02", "eve", "deny", reason_code="no_matching_rule")
    ledger.plant("20 09:03", "bob", "allow")

    assert [
        ("bob", "orders", "/orders/1", "rule_deny", 2, 2, "new", at("20 09:00"), at("20 09:01"), "d2"),
        ("eve", "orders", "/orders/1", "no_matching_rule", 1, 1, "", at("20 09:02"), at("20 09:02"), "d3"),
    ] == [tuple(row.values()) for row in ledger.ask("top-denied")]


def test_unauthenticated_requests_are_told_by_address_and_reason(ledger: Ledger):
    none = {"auth_method": "none", "reason_code": "unauthenticated"}
    ledger.plant("20 09:00", "anonymous", "deny", **none, user_agent_original="a")
    ledger.plant("20 09:01", "anonymous", "deny", **none, user_agent_original="b", url_path="/admin")
    ledger.plant("20 09:02", "anonymous", "deny", auth_method="", reason_code="invalid_credential")
    ledger.plant("20 09:03", "anonymous", "allow", auth_method="none", client_address="2001:db8::1")
    ledger.plant("20 09:04", "alice")
    ledger.plant("20 09:05", "", "not_evaluated", auth_method="")

    assert [
        ("10.0.0.1", "deny", "unauthenticated", 2, 1, 2, 2, at("20 09:00"), at("20 09:01"), "/admin", "d2"),
        (
            *("10.0.0.1", "deny", "invalid_credential", 1, 1, 1, 1, at("20 09:02"), at("20 09:02")),
            *("/orders/1", "d3"),
        ),
        ("2001:db8::1", "allow", "", 1, 1, 1, 1, at("20 09:03"), at("20 09:03"), "/orders/1", "d4"),
    ] == [tuple(row.values()) for row in ledger.ask("unauthenticated")]
