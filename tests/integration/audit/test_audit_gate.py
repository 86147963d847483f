"""The gate itself: policy-versions, latency, status-codes. Asked as the auditor on the real engine: exact rows of crafted data."""

from __future__ import annotations

from tests.integration.audit.conftest import NOON, Ledger, at, some


def test_policy_versions_show_when_each_decided_and_whether_its_text_is_kept(ledger: Ledger):
    ledger.plant("20 08:00", policy_version="v1", config_version="c1", envoy_node="a")
    ledger.plant("20 09:00", "bob", "deny", policy_version="v1", config_version="c1", envoy_node="b")
    ledger.plant("20 10:00", policy_version="v2", config_version="c1")
    ledger.plant("20 11:00", "", "not_evaluated")
    ledger.writer.insert(
        "audit.policies", [["v1", NOON], ["v1", NOON]], column_names=["policy_version", "received_at"]
    )

    assert [
        ("v2", "c1", at("20 10:00"), at("20 10:00"), 1, 1, 0, 0, 0, 1, False),
        ("v1", "c1", at("20 08:00"), at("20 09:00"), 2, 1, 1, 0, 0, 2, True),
    ] == [tuple(row.values()) for row in ledger.ask("policy-versions")]


def test_latency_parts_the_upstream_from_the_gate(ledger: Ledger):
    ledger.plant_all(
        "(time, received_at, service, decision, upstream_address, duration_us, authz_duration_us, decide_us, batch)"
        " SELECT toDateTime64('2026-11-20 09:00:00', 9, 'UTC') AS began, began, 'orders', 'allow', '10.9.9.9:80',"
        " number * 1000 + 300, 300, number, 'b' FROM numbers(1, 100)"
    )
    ledger.plant("20 09:00", "bob", "deny", duration_us=400, authz_duration_us=350, decide_us=7)
    ledger.plant("20 09:00", "", "not_evaluated", service="")

    orders, none = ledger.ask("latency")

    assert {
        "service": "orders",
        "requests": 101,
        "upstream_requests": 100,
        "upstream_p50_us": 51_000,
        "upstream_p95_us": 96_000,
        "upstream_p99_us": 100_000,
        "upstream_max_us": 100_000,
        "authz_requests": 101,
        "authz_p50_us": 300,
        "authz_p95_us": 300,
        "authz_p99_us": 300,
        "authz_max_us": 350,
        "decide_p50_us": 50,
        "decide_p99_us": 99,
    } == orders
    assert {"service": "", "requests": 1, "upstream_requests": 0, "authz_requests": 0} == {
        name: value for name, value in none.items() if value is not None
    }


def test_an_authorization_longer_than_the_request_leaves_the_upstream_no_time(ledger: Ledger):
    ledger.plant("20 09:00", upstream_address="10.9.9.9:80", duration_us=10, authz_duration_us=20)

    assert [(0, 20)] == some(ledger.ask("latency"), "upstream_max_us", "authz_max_us")


def test_status_codes_share_out_each_services_requests(ledger: Ledger):
    for time in ("20 09:00", "20 09:01", "20 09:02"):
        ledger.plant(time, response_code_details="via_upstream")
    ledger.plant(
        "20 09:03", "bob", "deny", http_response_status_code=403, response_code_details="ext_authz_denied"
    )
    ledger.plant("20 09:04", service="billing", http_response_status_code=0)

    assert [
        ("billing", 0, "allow", 1, 1.0, at("20 09:04"), at("20 09:04"), ""),
        ("orders", 200, "allow", 3, 0.75, at("20 09:00"), at("20 09:02"), "via_upstream"),
        ("orders", 403, "deny", 1, 0.25, at("20 09:03"), at("20 09:03"), "ext_authz_denied"),
    ] == [tuple(row.values()) for row in ledger.ask("status-codes")]
