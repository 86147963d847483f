from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from access import ANONYMOUS, UNKNOWN, AuthMethod, ReasonCode, Subject
from extauthz.asked import Asked, host_name
from extauthz.decide import Rules, Snapshot, decide
from extauthz.engine import Engine
from extauthz.identity import Identity

ASKED = Asked(
    method="GET", target="/orders/1?x=1", host="Orders.Example:8443", scheme="https", service="orders"
)
RULES = Rules(("subject", "service", "resource", "action"), "cfg")


def person(name: str = "alice", *roles: str) -> Identity:
    return Identity(Subject(name, roles, AuthMethod.JWT, "demo"))


def reason(asked: Asked, identity: Identity, engine: Engine | None) -> tuple[str, str]:
    decision = decide(asked, identity, Snapshot(engine), RULES, "id")
    return decision.reason_code.value, decision.reason


@pytest.mark.parametrize(
    ("asked", "identity", "expected"),
    [
        pytest.param(ASKED, person(), ("rule_allow", "allowed by the rule in line 12"), id="allowed"),
        pytest.param(
            replace(ASKED, target="/orders/1/payment"),
            person("bob"),
            ("rule_deny", "denied by the rule in line 20"),
            id="denied by a rule",
        ),
        pytest.param(
            replace(ASKED, method="DELETE"), person(), ("no_matching_rule", "no rule allows"), id="no rule"
        ),
        pytest.param(
            ASKED,
            Identity(ANONYMOUS),
            ("unauthenticated", "no credentials came, and the policy does not let anonymous in"),
            id="anonymous",
        ),
        pytest.param(
            replace(ASKED, target="/orders/health"),
            Identity(ANONYMOUS),
            ("rule_allow", "allowed by the rule in line 7"),
            id="anonymous where the policy lets it in",
        ),
        pytest.param(
            ASKED,
            Identity(UNKNOWN, "the cause"),
            ("invalid_credential", "the cause"),
            id="invalid credential",
        ),
        pytest.param(
            replace(ASKED, target="/orders/health"),
            Identity(UNKNOWN, "the cause"),
            ("invalid_credential", "the cause"),
            id="an invalid credential is not let in where anonymous is",
        ),
        pytest.param(
            replace(ASKED, target="/a;b"),
            person(),
            ("bad_path", "a path parameter (semicolon)"),
            id="bad path",
        ),
        pytest.param(replace(ASKED, fragment="x"), person(), ("bad_path", "a fragment"), id="fragment"),
        pytest.param(
            replace(ASKED, target=""), person(), ("bad_path", "not starting with a slash"), id="no path"
        ),
        pytest.param(Asked(), person(), ("bad_request", "no HTTP request in the Check"), id="no request"),
        pytest.param(
            replace(ASKED, method="get"),
            person(),
            ("bad_request", "a method that is no upper-case word"),
            id="get",
        ),
        pytest.param(
            replace(ASKED, method="GET\n"),
            person(),
            ("bad_request", "a method that is no upper-case word"),
            id="a method with a line break",
        ),
        pytest.param(
            replace(ASKED, service=""), person(), ("bad_request", "route has no service"), id="no service"
        ),
        pytest.param(
            replace(ASKED, hosts=("a", "a")),
            person(),
            ("bad_request", "2 Host headers"),
            id="two Host headers",
        ),
        pytest.param(
            replace(ASKED, host="a,b"),
            person(),
            ("bad_request", "a Host header that names no host"),
            id="two hosts",
        ),
        pytest.param(
            replace(ASKED, host="user@a"),
            person(),
            ("bad_request", "a Host header that names no host"),
            id="user",
        ),
        pytest.param(
            replace(ASKED, hosts=("a b",)),
            person(),
            ("bad_request", "a Host header that names no host"),
            id="space",
        ),
        pytest.param(
            replace(ASKED, host=""),
            person(),
            ("bad_request", "a Host header that names no host"),
            id="no host",
        ),
        pytest.param(
            replace(ASKED, hosts=("",)),
            person(),
            ("bad_request", "a Host header that names no host"),
            id="an empty Host header",
        ),
        pytest.param(
            replace(ASKED, host=":80"),
            person(),
            ("bad_request", "a Host header that names no host"),
            id="a port alone",
        ),
        pytest.param(
            replace(ASKED, host="."),
            person(),
            ("bad_request", "a Host header that names no host"),
            id="a dot",
        ),
        pytest.param(
            replace(ASKED, target="/a;b", service=""),
            Identity(UNKNOWN, "x"),
            ("bad_request", "route has no service"),
            id="the request before the path",
        ),
        pytest.param(
            replace(ASKED, target="/a;b"),
            Identity(UNKNOWN, "x"),
            ("bad_path", "a path parameter (semicolon)"),
            id="the path before the credential",
        ),
    ],
)
def test_each_request_gets_its_reason(
    engine: Engine, asked: Asked, identity: Identity, expected: tuple[str, str]
) -> None:
    assert expected == reason(asked, identity, engine)


@pytest.mark.parametrize("code", [ReasonCode.POLICY_UNAVAILABLE, ReasonCode.AUDIT_UNAVAILABLE])
def test_without_a_policy_nobody_passes(code: ReasonCode) -> None:
    decision = decide(ASKED, person(), Snapshot(None, code, "why"), RULES, "id")

    assert (decision.reason_code, decision.reason) == (code, "why")
    assert not decision.allowed


def test_a_decision_explains_itself(engine: Engine) -> None:
    decision = decide(ASKED, person("carol", "role:support"), Snapshot(engine), RULES, "id")
    request = decision.request

    assert (request.subject.name, request.service, request.resource, request.action, request.host) == (
        "carol",
        "orders",
        "/orders/1",
        "GET",
        "orders.example",
    )
    assert (decision.rule, decision.rule_line) == ("p, role:support, orders, /orders/*, GET, allow", 17)
    assert (decision.policy_version, decision.config_version) == (engine.version, "cfg")


def test_a_token_role_counts_for_its_request_alone(engine: Engine) -> None:
    asked = replace(ASKED, method="DELETE")

    assert reason(asked, person("alice", "role:support"), engine)[0] == "rule_allow"
    assert reason(asked, person("alice"), engine)[0] == "no_matching_rule"


def test_the_policy_sees_the_normalised_path(engine: Engine) -> None:
    asked = replace(ASKED, target="/billing/../%6Frders//1?y")

    decision = decide(asked, person(), Snapshot(engine), RULES, "id")

    assert decision.request.resource == "/orders/1"
    assert decision.allowed


def test_a_path_that_upstreams_read_in_two_ways_needs_both_allowed(tmp_path: Path) -> None:
    model, policy = tmp_path / "m.conf", tmp_path / "p.csv"
    model.write_text((Path(__file__).parents[3] / "policies" / "model.conf").read_text())
    policy.write_text("p, alice, s, /t/*, POST, allow\np, alice, s, /t/1@delete, POST, deny\n")
    engine = Engine.from_files(model, policy)
    asked = replace(ASKED, method="POST", service="s")

    assert reason(replace(asked, target="/t/1%40run"), person(), engine)[0] == "rule_allow"
    assert reason(replace(asked, target="/t/1%40delete"), person(), engine) == (
        "rule_deny",
        "denied by the rule in line 2, the path read as /t/1@delete",
    )


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        pytest.param("Orders.Example", "orders.example", id="case"),
        pytest.param("orders.example:443", "orders.example", id="port"),
        pytest.param("orders.example.", "orders.example", id="final dot"),
        pytest.param("orders.example.:80", "orders.example", id="final dot and port"),
        pytest.param("[2001:DB8::1]:80", "[2001:db8::1]", id="address with port"),
        pytest.param("[2001:db8::1]", "[2001:db8::1]", id="address"),
        pytest.param("", "", id="none"),
    ],
)
def test_a_host_is_compared_without_case_port_and_final_dot(host: str, expected: str) -> None:
    assert expected == host_name(host)


@pytest.mark.parametrize(
    ("connection", "expected"),
    [
        pytest.param(("Upgrade",), "rule_allow", id="a tunnel"),
        pytest.param(("keep-alive, Upgrade",), "rule_allow", id="a tunnel, as browsers ask for it"),
        pytest.param(("upgrade, x-subject",), "bad_request", id="a header of the gate's is named"),
        pytest.param(("upgrade", "x-roles"), "bad_request", id="on a line of its own"),
        pytest.param(("upgrade-x",), "bad_request", id="another word"),
    ],
)
def test_a_tunnel_names_no_header_that_a_proxy_behind_the_gate_would_take_off(
    connection: tuple[str, ...], expected: str, engine: Engine
) -> None:
    assert reason(replace(ASKED, connection=connection), person(), engine)[0] == expected


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        pytest.param("/orders/1;v=2", "rule_allow", id="both readings are allowed"),
        pytest.param("/orders/1;v=2/payment", "no_matching_rule", id="neither is"),
        pytest.param("/orders/..;/admin", "bad_path", id="hidden dots"),
    ],
)
def test_with_path_parameters_both_readings_must_be_allowed(
    target: str, expected: str, engine: Engine
) -> None:
    rules = replace(RULES, path_parameters=True)
    decision = decide(replace(ASKED, target=target), person(), Snapshot(engine), rules, "id")

    assert decision.reason_code == expected


def test_a_rule_that_denies_the_path_without_its_parameters_denies_it_with_them(engine: Engine) -> None:
    rules = replace(RULES, path_parameters=True)
    asked = replace(ASKED, target="/orders/1/payment;x=1")
    decision = decide(asked, person("bob", "role:support"), Snapshot(engine), rules, "id")

    assert decision.reason_code == "rule_deny"
    assert decision.reason.endswith("the path read as /orders/1/payment")
