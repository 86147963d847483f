"""Who uses what: top-subjects, top-resources, sources, new-access. Asked as the auditor on the real engine: exact rows of crafted data."""

from __future__ import annotations

import pytest

from tests.integration.audit.conftest import Ledger, at, some


def test_top_subjects_count_by_decision_and_the_counts_add_up(ledger: Ledger):
    for decision in ("allow", "allow", "deny", "error", "fail_open", "not_evaluated"):
        ledger.plant("20 09:00", "alice", decision, request_bytes=1, response_bytes=10)
    ledger.plant("20 09:30", "bob", service="billing", url_path="/billing/1")

    assert [
        ("alice", 6, 2, 1, 1, 2, 1, 1, 6, 60, at("20 09:00"), at("20 09:00")),
        ("bob", 1, 1, 0, 0, 0, 1, 1, 0, 0, at("20 09:30"), at("20 09:30")),
    ] == [tuple(row.values()) for row in ledger.ask("top-subjects")]


@pytest.mark.parametrize(
    ("depth", "expected"),
    [
        pytest.param("0", [("/orders/1/items", 2), ("/orders/2", 1), ("/", 1)], id="whole paths"),
        pytest.param("1", [("/orders", 3), ("/", 1)], id="one segment"),
        pytest.param("2", [("/orders/1", 2), ("/orders/2", 1), ("/", 1)], id="two segments"),
        pytest.param("255", [("/orders/1/items", 2), ("/orders/2", 1), ("/", 1)], id="deeper than any path"),
    ],
)
def test_top_resources_count_paths_to_a_depth(ledger: Ledger, depth: str, expected: list[tuple[str, int]]):
    ledger.plant("20 09:00", "alice", url_path="/orders/1/items")
    ledger.plant("20 09:00", "bob", url_path="/orders/1/items")
    ledger.plant("20 09:00", "bob", url_path="/orders/2")
    ledger.plant("20 09:00", "bob", service="web", url_path="/")

    assert expected == some(ledger.ask("top-resources", depth=depth), "url_path", "requests")


def test_top_resources_count_subjects_decisions_and_bytes(ledger: Ledger):
    ledger.plant("20 09:00", "alice", request_bytes=1, response_bytes=2)
    ledger.plant("20 09:10", "bob", "deny", request_bytes=3, response_bytes=4)

    assert [("orders", "/orders/1", 2, 1, 1, 0, 0, 2, 4, 6, at("20 09:00"), at("20 09:10"))] == [
        tuple(row.values()) for row in ledger.ask("top-resources")
    ]


def test_sources_show_the_addresses_of_each_subject(ledger: Ledger):
    ledger.plant("20 09:00", "alice", user_agent_original="a")
    ledger.plant("20 09:01", "alice", "deny", user_agent_original="b", service="billing")
    ledger.plant("20 09:02", "bob", client_address="::")
    ledger.plant("20 09:03", "bob", client_address="2001:db8::1")
    ledger.plant("20 09:04", "bob", client_address="2001:db8::1")

    assert [
        ("bob", "2001:db8::1", 2, 2, 2, 0, 1, 1, at("20 09:03"), at("20 09:04")),
        ("bob", "", 2, 1, 1, 0, 1, 1, at("20 09:02"), at("20 09:02")),
        ("alice", "10.0.0.1", 1, 2, 1, 1, 2, 2, at("20 09:00"), at("20 09:01")),
    ] == [tuple(row.values()) for row in ledger.ask("sources")]


def test_new_access_is_what_was_never_let_through_before(ledger: Ledger):
    ledger.plant("18 09:00", "alice", url_path="/known")
    ledger.plant("18 09:00", "bob", "deny", url_path="/refused-before")
    ledger.plant("18 09:00", "alice", service="other", url_path="/new")
    ledger.plant("20 09:00", "alice", url_path="/known")
    ledger.plant("20 09:01", "bob", url_path="/refused-before")
    ledger.plant("20 09:02", "bob", url_path="/known")
    ledger.plant("20 09:03", "alice", url_path="/new", action="PUT", rule="the rule")
    ledger.plant("20 09:04", "alice", url_path="/new")
    ledger.plant("20 09:05", "alice", "deny", url_path="/refused-now")
    ledger.plant("20 09:06", "", "fail_open", url_path="/undecided")

    rows = ledger.ask("new-access")

    assert [("", "/undecided"), ("alice", "/new"), ("bob", "/known"), ("bob", "/refused-before")] == some(
        rows, "subject", "url_path"
    )
    assert {
        "subject": "alice",
        "service": "orders",
        "url_path": "/new",
        "first_seen": at("20 09:03"),
        "last_seen": at("20 09:04"),
        "requests": 2,
        "first_action": "PUT",
        "first_rule": "the rule",
        "first_client_address": "10.0.0.1",
        "first_decision_id": "d7",
    } == rows[1]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param({}, ["/a/2"], id="ninety days of history"),
        pytest.param({"history_days": "3"}, ["/a/2", "/a/1"], id="a shorter history forgets"),
        pytest.param({"history_days": "0"}, ["/a/2"], id="all that is kept"),
        pytest.param({"history_days": "65535"}, ["/a/2"], id="longer than there is time"),
        pytest.param({"depth": "1"}, [], id="by the first segment nothing is new"),
    ],
)
def test_new_access_looks_back_as_far_and_as_deep_as_asked(
    ledger: Ledger, given: dict[str, str], expected: list[str]
):
    ledger.plant("10 09:00", url_path="/a/1")
    ledger.plant("20 09:00", url_path="/a/1")
    ledger.plant("20 09:01", url_path="/a/2")

    assert expected == [row["url_path"] for row in ledger.ask("new-access", **given)]
