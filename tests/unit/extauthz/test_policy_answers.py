from __future__ import annotations

import pytest
from policy_texts import (
    ALLOW_AND_DENY,
    ALLOW_OVERRIDE,
    DENY_OVERRIDE,
    PRIORITY,
    SUBJECT_PRIORITY,
    model_text,
    source,
)

from extauthz.engine import EnforceError, Engine

ALLOW, DENY = "p, alice, /a, GET, allow\n", "p, alice, /a, GET, deny\n"
OTHER = "p, bob, /a, GET, allow\n"
REQUEST = ("alice", "/a", "GET")


@pytest.mark.parametrize(
    ("effect", "policy", "expected"),
    [
        pytest.param(ALLOW_OVERRIDE, ALLOW, (True, "rule_allow", 1), id="allow-override: an allow"),
        pytest.param(
            ALLOW_OVERRIDE, DENY + ALLOW, (True, "rule_allow", 2), id="allow-override: a deny before"
        ),
        pytest.param(
            ALLOW_OVERRIDE, DENY, (False, "no_matching_rule", None), id="allow-override: only a deny"
        ),
        pytest.param(ALLOW_OVERRIDE, OTHER, (False, "no_matching_rule", None), id="allow-override: no match"),
        pytest.param(DENY_OVERRIDE, OTHER, (True, "rule_allow", None), id="deny-override: no match"),
        pytest.param(DENY_OVERRIDE, ALLOW, (True, "rule_allow", 1), id="deny-override: an allow"),
        pytest.param(DENY_OVERRIDE, ALLOW + DENY, (False, "rule_deny", 2), id="deny-override: a deny"),
        pytest.param(ALLOW_AND_DENY, OTHER, (False, "no_matching_rule", None), id="allow-and-deny: no match"),
        pytest.param(ALLOW_AND_DENY, ALLOW, (True, "rule_allow", 1), id="allow-and-deny: an allow"),
        pytest.param(
            ALLOW_AND_DENY, ALLOW + OTHER, (True, "rule_allow", 1), id="allow-and-deny: others after"
        ),
        pytest.param(
            ALLOW_AND_DENY, ALLOW + DENY, (False, "rule_deny", 2), id="allow-and-deny: a deny after"
        ),
        pytest.param(
            ALLOW_AND_DENY, DENY + ALLOW, (False, "rule_deny", 1), id="allow-and-deny: a deny before"
        ),
        pytest.param(PRIORITY, ALLOW + DENY, (True, "rule_allow", 1), id="priority: the first decides"),
        pytest.param(
            PRIORITY, DENY + ALLOW, (False, "rule_deny", 1), id="priority: the first decides, a deny"
        ),
        pytest.param(PRIORITY, OTHER, (False, "no_matching_rule", None), id="priority: no match"),
        pytest.param(
            SUBJECT_PRIORITY,
            "p, role:a, /a, GET, deny\np, alice, /a, GET, allow\ng, alice, role:a\n",
            (True, "rule_allow", 2),
            id="subject priority: the subject before its role",
        ),
    ],
)
def test_each_effect_decides_and_names_its_rule(
    effect: str, policy: str, expected: tuple[bool, str, int | None]
) -> None:
    verdict = Engine.from_source(source(policy, model_text(effect=effect))).enforce(*REQUEST)

    assert expected == (verdict.allowed, verdict.reason_code, verdict.line)
    assert (verdict.rule is None) == (verdict.line is None)


def test_a_priority_column_orders_the_rules_not_the_lines() -> None:
    model = model_text(policy="priority, sub, obj, act, eft", effect=PRIORITY)
    engine = Engine.from_source(source("p, 10, alice, /a, GET, allow\np, 2, alice, /a, GET, deny\n", model))

    verdict = engine.enforce(*REQUEST)

    assert (verdict.allowed, verdict.line) == (False, 2)
    assert verdict.rule == ("2", "alice", "/a", "GET", "deny")


def test_without_an_effect_field_every_rule_allows() -> None:
    engine = Engine.from_source(source("p, alice, /a, GET\n", model_text(policy="sub, obj, act")))

    assert engine.enforce(*REQUEST).allowed


@pytest.mark.parametrize("values", [("", "", ""), REQUEST])
def test_an_empty_policy_denies(values: tuple[str, ...]) -> None:
    verdict = Engine.from_source(source("")).enforce(*values)

    assert (verdict.allowed, verdict.reason_code) == (False, "no_matching_rule")


def test_request_roles_hold_for_their_request_alone() -> None:
    engine = Engine.from_source(
        source("p, role:a, /a, GET, allow\np, role:c, /c, GET, allow\ng, role:a, role:c\n")
    )

    assert engine.enforce("alice", "/a", "GET", roles=("role:a",)).allowed
    assert engine.enforce("alice", "/c", "GET", roles=("role:a",)).allowed
    assert not engine.enforce("alice", "/a", "GET").allowed
    assert not engine.enforce("bob", "/a", "GET", roles=("role:b",)).allowed


def test_request_roles_hold_in_the_domain_that_is_asked() -> None:
    model = model_text(
        request="sub, dom, obj",
        policy="sub, dom, obj, eft",
        roles={"g": "_, _, _"},
        matcher="g(r.sub, p.sub, r.dom) && r.dom == p.dom && r.obj == p.obj",
    )
    engine = Engine.from_source(
        source("p, role:a, d1, /a, allow\np, role:a, d2, /a, allow\ng, alice, role:a, d1\n", model)
    )

    assert engine.enforce("alice", "d1", "/a").allowed
    assert not engine.enforce("alice", "d2", "/a").allowed
    assert engine.enforce("alice", "d2", "/a", roles=("role:a",)).allowed


def test_other_role_definitions_know_nothing_of_request_roles() -> None:
    model = model_text(
        roles={"g": "_, _", "g2": "_, _"}, matcher="g(r.sub, p.sub) && g2(r.obj, p.obj) && r.act == p.act"
    )
    engine = Engine.from_source(source("p, role:a, role:b, GET, allow\ng2, /a, role:b\n", model))

    assert engine.enforce("alice", "/a", "GET", roles=("role:a",)).allowed
    assert not engine.enforce("alice", "alice", "GET", roles=("role:a", "role:b")).allowed


@pytest.mark.parametrize(
    ("values", "message"),
    [
        pytest.param(("alice", "/a"), "2 values, the model's r wants 3", id="too few values"),
        pytest.param(("alice", "/a", "GET", "x"), "4 values, the model's r wants 3", id="too many values"),
    ],
)
def test_a_request_of_the_wrong_size_is_an_error(values: tuple[str, ...], message: str) -> None:
    with pytest.raises(EnforceError, match=message):
        Engine.from_source(source(ALLOW)).enforce(*values)


@pytest.mark.parametrize(
    "matcher",
    [
        pytest.param("ipMatch(r.obj, p.obj)", id="a function that refuses the value"),
        pytest.param("r.sub.Age > 18", id="an attribute that a text has not"),
        pytest.param("r.sub", id="a result that is no truth"),
    ],
)
def test_a_matcher_that_fails_is_an_error_and_no_answer(matcher: str) -> None:
    policy = "p, alice, 10.0.0.0/8, GET, allow\n"

    with pytest.raises(EnforceError, match="the matcher fails on this request"):
        Engine.from_source(source(policy, model_text(matcher=matcher))).enforce(*REQUEST)


def test_nothing_is_kept_about_subjects_that_are_only_asked_about() -> None:
    engine = Engine.from_source(source(ALLOW + "g, bob, role:a\n"))
    before = repr(engine.graphs)

    for number in range(100):
        engine.enforce(f"unknown-{number}", "/a", "GET", roles=("role:x",))

    assert before == repr(engine.graphs)


@pytest.mark.parametrize(
    ("matcher", "address", "allowed"),
    [
        ("!ipMatch(r.obj, p.obj)", "11.0.0.1", True),
        ("!ipMatch(r.obj, p.obj)", "10.0.0.1", False),
        ("r.sub == p.sub && !ipMatch(r.obj, p.obj)", "11.0.0.1", True),
        ("r.sub == p.sub && !ipMatch(r.obj, p.obj)", "10.0.0.1", False),
    ],
)
def test_what_lies_outside_of_a_network_can_be_asked_for(matcher: str, address: str, allowed: bool) -> None:
    engine = Engine.from_source(source("p, alice, 10.0.0.0/8, GET, allow\n", model_text(matcher=matcher)))

    assert engine.mode == "indexed"
    assert engine.enforce("alice", address, "GET").allowed is allowed
