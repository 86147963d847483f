"""What each named query answers, asked as the auditor on the real engine: exact rows of crafted data."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from audit import catalogue
from audit.errors import Refused
from audit.run import Window, ask, ask_sql
from tests.integration.audit.conftest import DAY, NOON, Ledger, at

if TYPE_CHECKING:
    from collections.abc import Sequence

QUERIES = catalogue.load()
REQUIRED = {"resource": "/orders/1", "subject": "alice"}
HOSTILE = [
    pytest.param("' OR 1 = 1 --", id="a quote"),
    pytest.param("\\' OR 1 = 1 --", id="an escaped quote"),
    pytest.param("{subject:String}", id="a parameter's name in braces"),
    pytest.param("%(subject)s %s", id="a client-side placeholder"),
    pytest.param("a\tb\nc\\", id="tab, newline and a backslash at the end"),
    pytest.param("\\N", id="what stands for NULL in TSV"),
    pytest.param("/* */ ; DROP TABLE audit.access_log", id="a comment and a second statement"),
    pytest.param("\x1b[31m\u202e日本", id="control characters and other scripts"),
]


def required_of(query: catalogue.Query) -> dict[str, str]:
    return {one.name: REQUIRED[one.name] for one in query.parameters if one.default is None}


def some(rows: Sequence[dict[str, Any]], *columns: str) -> list[tuple[Any, ...]]:
    """Of each row only these columns."""
    return [tuple(row[column] for column in columns) for row in rows]


@pytest.mark.parametrize("name", QUERIES)
def test_every_query_gives_no_rows_on_an_empty_ledger(ledger: Ledger, name: str):
    assert [] == ledger.ask(name, **required_of(QUERIES[name]))


@pytest.mark.parametrize("name", QUERIES)
def test_an_entry_that_is_no_end_is_in_no_answer(ledger: Ledger, name: str):
    for decision in ("allow", "deny", "error", "fail_open", "not_evaluated"):
        ledger.plant(
            "20 02:00",
            decision=decision,
            entry_type="DownstreamStart",
            reason_code="unauthenticated",
            response_bytes=1 << 30,
            policy_version="v1",
        )

    given = required_of(QUERIES[name])
    if name == "enumeration":
        given["min_resources"] = "1"

    assert [] == ledger.ask(name, **given)


@pytest.mark.parametrize("name", QUERIES)
def test_rows_outside_the_window_are_in_no_answer(ledger: Ledger, name: str):
    for time in ("19 11:59:59.999999", "20 12:00"):
        for decision in ("allow", "deny", "error"):
            ledger.plant(
                time,
                decision=decision,
                reason_code="unauthenticated",
                response_bytes=1 << 30,
                policy_version="v1",
            )

    given = required_of(QUERIES[name])
    if name == "enumeration":
        given["min_resources"] = "1"

    assert [] == ledger.ask(name, **given)


def test_the_first_moment_of_the_window_belongs_to_it_and_the_last_does_not(ledger: Ledger):
    ledger.plant("19 12:00", url_path="/first")
    ledger.plant("20 12:00", url_path="/last")

    assert [("/first",)] == some(ledger.ask("activity", subject="alice"), "url_path")


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
        pytest.param("permit", [], id="none of that name"),
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


def test_top_denied_shows_who_knocks_where_with_the_newest_rule(ledger: Ledger):
    ledger.plant("20 09:00", "bob", "deny", reason_code="rule_deny", rule="old", client_address="::1")
    ledger.plant("20 09:01", "bob", "deny", reason_code="rule_deny", rule="new")
    ledger.plant("20 09:02", "eve", "deny", reason_code="no_matching_rule")
    ledger.plant("20 09:03", "bob", "allow")

    assert [
        ("bob", "orders", "/orders/1", "rule_deny", 2, 2, "new", at("20 09:00"), at("20 09:01"), "d2"),
        ("eve", "orders", "/orders/1", "no_matching_rule", 1, 1, "", at("20 09:02"), at("20 09:02"), "d3"),
    ] == [tuple(row.values()) for row in ledger.ask("top-denied")]


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


def test_off_hours_tell_the_night_from_the_day_with_its_share(ledger: Ledger):
    ledger.plant("20 07:59", url_path="/early")
    ledger.plant("20 08:00")
    ledger.plant("19 17:59")
    ledger.plant("19 18:00", "alice", "deny", url_path="/late")
    ledger.plant("20 09:00", "bob")
    ledger.plant("20 03:00", "anonymous")

    assert [
        ("alice", "orders", 2, 4, 0.5, 1, 1, 2, at("19 18:00"), at("20 07:59"), "Fri 2026-11-20 07:59")
    ] == [tuple(row.values()) for row in ledger.ask("off-hours")]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param({}, ["19 20:00", "20 02:00"], id="UTC"),
        pytest.param({"timezone": "Asia/Tokyo"}, ["19 13:00", "19 20:00"], id="another zone's night"),
        pytest.param({"from_hour": "19", "to_hour": "3"}, ["19 13:00"], id="work over midnight"),
        pytest.param(
            {"from_hour": "19", "to_hour": "2"},
            ["19 13:00", "20 02:00"],
            id="work until the hour, not through it",
        ),
        pytest.param({"from_hour": "0", "to_hour": "24"}, [], id="work round the clock"),
        pytest.param(
            {"from_hour": "9", "to_hour": "9"}, ["19 13:00", "19 20:00", "20 02:00"], id="no work at all"
        ),
        pytest.param({"workdays": "1,2,3,4,5"}, ["19 20:00", "20 02:00"], id="weekdays"),
        pytest.param({"workdays": "5"}, ["19 13:00", "19 20:00", "20 02:00"], id="Thursday off"),
        pytest.param({"workdays": ""}, ["19 13:00", "19 20:00", "20 02:00"], id="every day off"),
    ],
)
def test_off_hours_follow_zone_hours_and_days(ledger: Ledger, given: dict[str, str], expected: list[str]):
    for time in ("19 13:00", "19 20:00", "20 02:00"):
        ledger.plant(time, service=time)

    assert expected == sorted(row["service"] for row in ledger.ask("off-hours", **given))


def test_an_unknown_time_zone_is_refused_in_clickhouses_words(ledger: Ledger):
    with pytest.raises(Refused, match=r"refused the query: .*Middle/Earth"):
        ledger.ask("off-hours", timezone="Middle/Earth")


def test_enumeration_finds_many_resources_in_one_hour(ledger: Ledger):
    for minute in range(5):
        ledger.plant(
            f"20 09:{minute:02}", "mallory", url_path=f"/orders/{minute}", http_response_status_code=404
        )
    for minute in range(4):
        ledger.plant(f"20 09:{minute:02}", "carol", url_path=f"/orders/{minute}")
    for minute in range(6):
        ledger.plant(f"20 09:{minute:02}", "dave", url_path="/orders/1")

    assert [
        {
            "hour": at("20 09:00"),
            "subject": "mallory",
            "client_address": "",
            "resources": 5,
            "services": 1,
            "requests": 5,
            "allowed": 5,
            "denied": 0,
            "not_found": 5,
            "first_seen": at("20 09:00"),
            "last_seen": at("20 09:04"),
            "first_url_path": "/orders/0",
            "last_url_path": "/orders/4",
        }
    ] == ledger.ask("enumeration", min_resources="5")


def test_enumeration_tells_those_without_identity_apart_by_address(ledger: Ledger):
    for number in range(3):
        ledger.plant("20 09:00", "anonymous", "deny", url_path=f"/{number}", client_address="::ffff:10.0.0.7")
        ledger.plant("20 09:00", "alice", url_path=f"/{number}", client_address=f"::ffff:10.1.0.{number}")
    ledger.plant("20 09:00", "anonymous", "deny", url_path="/9", client_address="::ffff:10.0.0.8")

    assert [("alice", "", 3), ("anonymous", "10.0.0.7", 3)] == some(
        ledger.ask("enumeration", min_resources="2"), "subject", "client_address", "resources"
    )


def test_volume_holds_the_window_against_equally_long_ones_before_it(ledger: Ledger):
    mib = 1 << 20
    for day in (14, 15, 16, 17, 18):
        ledger.plant(f"{day} 13:00", "usual", response_bytes=10 * mib)
        ledger.plant(f"{day} 13:00", "greedy", response_bytes=7 * mib)
    ledger.plant("20 09:00", "usual", response_bytes=10 * mib)
    ledger.plant("20 09:00", "greedy", response_bytes=99 * mib, request_bytes=mib)
    ledger.plant("20 09:00", "newcomer", response_bytes=2 * mib)
    ledger.plant("20 09:00", "little", response_bytes=mib - 1)
    ledger.plant("19 11:59", "gone", response_bytes=50 * mib)

    assert [
        ("newcomer", 2 * mib, 0, 2 * mib, 1, 0.0, 0, 0, None),
        ("greedy", 100 * mib, mib, 99 * mib, 1, 5.0 * mib, 7 * mib, 5, 20.0),
    ] == [tuple(row.values()) for row in ledger.ask("volume")]


def test_a_period_of_the_past_begins_with_its_first_moment(ledger: Ledger):
    ledger.plant("18 12:00", response_bytes=1 << 20)
    ledger.plant("19 11:59:59.999999", response_bytes=1 << 20)
    ledger.plant("20 09:00", response_bytes=6 << 20)

    assert [(1, 2 << 20, 3.0)] == some(
        ledger.ask("volume", periods="1"), "past_periods", "past_max_bytes", "ratio"
    )


@pytest.mark.parametrize(
    ("given", "window", "expected"),
    [
        pytest.param({}, DAY, [(2.0,)], id="two periods"),
        pytest.param({"periods": "0"}, DAY, [(None,)], id="no past at all"),
        pytest.param({"periods": "65535"}, DAY, [(65535.0,)], id="a past longer than there is time"),
        pytest.param(
            {"periods": "65535"},
            Window(datetime(1970, 1, 1, tzinfo=UTC), datetime(2199, 1, 1, tzinfo=UTC)),
            [(None,)],
            id="a window longer than there is time",
        ),
    ],
)
def test_volume_bears_any_span(
    ledger: Ledger, given: dict[str, str], window: Window, expected: list[tuple[float | None]]
):
    ledger.plant("19 09:00", response_bytes=1 << 21)
    ledger.plant("20 09:00", response_bytes=1 << 21)

    asked = {"periods": "2", "min_ratio": "0"} | given

    assert expected == some(ledger.ask("volume", window=window, **asked), "ratio")


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


def test_a_row_that_was_received_long_after_it_began_is_found(ledger: Ledger):
    ledger.plant("19 13:00", received_at=NOON + timedelta(days=60))

    assert [("d1",)] == some(ledger.ask("activity", subject="alice"), "decision_id")


def test_an_answer_ends_at_the_limit_and_says_when_there_is_more(ledger: Ledger):
    for minute in range(3):
        ledger.plant(f"20 09:{minute:02}")

    query = QUERIES["activity"]
    answers = [
        ask(ledger.reader, query, DAY, limit, {"subject": "alice", "service": "", "decision": ""})
        for limit in (2, 3)
    ]

    assert [(2, True), (3, False)] == [(len(answer.rows), answer.cut) for answer in answers]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_hostile_value_is_a_value_in_every_query(ledger: Ledger, hostile: str):
    ledger.plant("20 02:00", hostile, "deny", service=hostile, url_path=hostile, reason_code=hostile)
    ledger.plant("20 02:00", "alice", "deny")
    strings = {
        name: {
            one.name: hostile for one in query.parameters if one.type == "String" and one.name != "decision"
        }
        for name, query in QUERIES.items()
    }

    for given in strings.values():
        given.pop("timezone", None)
    found = {name: ledger.ask(name, **given) for name, given in strings.items() if given}

    for name in ("denied", "activity", "who-accessed", "sources", "top-denied", "off-hours"):
        assert [hostile] == [row["subject"] for row in found[name]], name
    assert 2 == ledger.reader.query("SELECT count() FROM audit.access_log").result_rows[0][0]


def test_a_reader_cannot_write_through_sql(ledger: Ledger):
    ledger.plant("20 09:00")

    for statement in ("TRUNCATE TABLE audit.access_log", "WITH 1 AS x INSERT INTO audit.policies SELECT 'v'"):
        with pytest.raises(Refused):
            ask_sql(ledger.reader, statement, {}, NOON)

    assert 1 == ledger.reader.query("SELECT count() FROM audit.access_log").result_rows[0][0]


def test_sql_takes_typed_parameters(ledger: Ledger):
    ledger.plant("20 09:00", "o'hara")

    answer = ask_sql(
        ledger.reader,
        "SELECT subject FROM audit.access_log WHERE subject = {who:String} AND time >= {from:DateTime64(9, 'UTC')}",
        {"who": "o'hara", "from": "12h"},
        NOON,
    )

    assert (("o'hara",),) == answer.rows
