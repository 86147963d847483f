"""The engine against pycasbin itself, over many models, policies and requests: same answer, same rule.

pycasbin gets a fresh Enforcer for every request, with the request's roles as real g rows.
"""

from __future__ import annotations

import casbin
import pytest
from casbin.persist.adapters import StringAdapter
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_texts import (
    ALLOW_AND_DENY,
    ALLOW_OVERRIDE,
    DENY_OVERRIDE,
    PRIORITY,
    SUBJECT_PRIORITY,
    model_text,
    source,
)

from extauthz.engine import EnforceError, Engine, load

EFFECTS = (ALLOW_OVERRIDE, DENY_OVERRIDE, ALLOW_AND_DENY, PRIORITY)
SUBJECTS = st.sampled_from(["alice", "bob", "role:a", "role:b", "role:c", "alice2"])
OBJECTS = st.sampled_from(["/a", "/a/*", "/a/:id", "/a/1", "/*", "*", "/a/:x/b", "/a.b", "/a*", "/", "a:b"])
PATHS = st.sampled_from(["/a", "/a/", "/a/1", "/a/1/b", "/axb", "/a.b", "/ab", "/", "*", "a1", "/a/%3A"])
ACTIONS = st.sampled_from(["GET", "POST", "*", "P*"])
MATCHERS = (
    "g(r.sub, p.sub) && keyMatch2(r.obj, p.obj) && keyMatch(r.act, p.act)",
    "g(r.sub, p.sub) && keyMatch(r.obj, p.obj) && r.act == p.act",
    "g(r.sub, p.sub) && (r.obj == p.obj || p.obj == '*') && (r.act == p.act || p.act == '*')",
    "r.sub == p.sub && keyMatch3(r.obj, p.obj) && !(r.act != p.act)",
    "(g(r.sub, p.sub) || r.sub == 'bob') && keyMatch5(r.obj, p.obj) && r.act in ('GET', 'POST')",
    "r.sub == 'alice' || g(r.sub, p.sub) && regexMatch(r.act, 'P')",
)
RULES = st.lists(
    st.tuples(SUBJECTS, OBJECTS, ACTIONS, st.sampled_from(["allow", "deny"])), min_size=1, max_size=7
)
LINKS = st.lists(st.tuples(SUBJECTS, SUBJECTS), max_size=6)
ROLES = st.lists(st.sampled_from(["role:a", "role:b", "role:z"]), max_size=2, unique=True)


def policy_text(rules: list[tuple[str, ...]], links: list[tuple[str, ...]]) -> str:
    rows = [("p", *rule) for rule in rules] + [("g", *link) for link in links]
    return "".join(", ".join(row) + "\n" for row in rows)


def of_pycasbin(
    model: str, policy: str, values: tuple[str, ...], extra: list[tuple[str, ...]]
) -> tuple[object, ...]:
    """Pycasbin's answer and the fields of the rule that it names."""
    text = policy + "".join(f"g, {', '.join(link)}\n" for link in extra)
    enforcer = casbin.Enforcer(casbin.Enforcer.new_model(text=model), StringAdapter(text))
    try:
        allowed, explained = enforcer.enforce_ex(*values)
    except Exception:  # noqa: BLE001 - pycasbin raises anything; that both fail is what counts
        return ("error",)
    return allowed, tuple(explained)


def of_ours(model: str, policy: str, values: tuple[str, ...], roles: list[str]) -> tuple[object, ...]:
    engine = Engine.from_source(source(policy, model))
    try:
        verdict = engine.enforce(*values, roles=roles)
    except EnforceError:
        return ("error",)
    if verdict.rule is not None:
        line = policy.split("\n")[(verdict.line or 0) - 1]
        assert f"p, {', '.join(verdict.rule)}" == line == verdict.text
    return verdict.allowed, verdict.rule or ()


def same(ours: tuple[object, ...], theirs: tuple[object, ...], effect: str) -> bool:
    """Equal but for one thing: pycasbin names a matching deny that allow-override never looks at."""
    if effect == ALLOW_OVERRIDE and ours == (False, ()):
        return theirs[0] is False
    return ours == theirs


@settings(max_examples=1500, deadline=None)
@given(
    effect=st.sampled_from(EFFECTS),
    matcher=st.sampled_from(MATCHERS),
    rules=RULES,
    links=LINKS,
    subject=SUBJECTS,
    path=PATHS,
    action=ACTIONS,
    roles=ROLES,
)
def test_answers_and_rules_are_pycasbins(
    *,
    effect: str,
    matcher: str,
    rules: list[tuple[str, ...]],
    links: list[tuple[str, ...]],
    subject: str,
    path: str,
    action: str,
    roles: list[str],
) -> None:
    model = model_text(effect=effect, matcher=matcher)
    policy = policy_text(rules, links)
    if load(source(policy, model))[0] is None:  # "*" as sub and the like: refused, with reason
        return
    values = (subject, path, action)

    theirs = of_pycasbin(model, policy, values, [(subject, role) for role in roles])
    ours = of_ours(model, policy, values, roles)

    assert same(ours, theirs, effect), (ours, theirs)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 30).map(str), SUBJECTS, PATHS, st.sampled_from(["allow", "deny"])),
        min_size=1,
        max_size=7,
    ),
    LINKS,
    SUBJECTS,
    PATHS,
    ROLES,
)
def test_priorities_order_as_pycasbin_orders(
    rules: list[tuple[str, ...]], links: list[tuple[str, ...]], subject: str, path: str, roles: list[str]
) -> None:
    model = model_text(
        request="sub, obj",
        policy="priority, sub, obj, eft",
        effect=PRIORITY,
        matcher="g(r.sub, p.sub) && r.obj == p.obj",
    )
    policy = policy_text(rules, links)

    theirs = of_pycasbin(model, policy, (subject, path), [(subject, role) for role in roles])

    assert theirs == of_ours(model, policy, (subject, path), roles)


@settings(max_examples=300, deadline=None)
@given(RULES, LINKS, SUBJECTS, PATHS, ACTIONS)
def test_subject_hierarchies_order_as_pycasbin_orders(
    rules: list[tuple[str, ...]], links: list[tuple[str, ...]], subject: str, path: str, action: str
) -> None:
    model = model_text(effect=SUBJECT_PRIORITY)
    policy = policy_text(rules, links)
    if load(source(policy, model))[0] is None:  # a circle: pycasbin raises
        return

    theirs = of_pycasbin(model, policy, (subject, path, action), [])

    assert theirs == of_ours(model, policy, (subject, path, action), [])


DOMAINS = st.sampled_from(["d1", "d2", "d3"])


@settings(max_examples=300, deadline=None)
@given(
    rules=st.lists(
        st.tuples(SUBJECTS, DOMAINS, PATHS, st.sampled_from(["allow", "deny"])), min_size=1, max_size=7
    ),
    links=st.lists(st.tuples(SUBJECTS, SUBJECTS, DOMAINS), max_size=6),
    subject=SUBJECTS,
    domain=DOMAINS,
    path=PATHS,
    roles=ROLES,
)
def test_roles_in_domains_are_pycasbins(
    *,
    rules: list[tuple[str, ...]],
    links: list[tuple[str, ...]],
    subject: str,
    domain: str,
    path: str,
    roles: list[str],
) -> None:
    model = model_text(
        request="sub, dom, obj",
        policy="sub, dom, obj, eft",
        roles={"g": "_, _, _"},
        matcher="g(r.sub, p.sub, r.dom) && r.dom == p.dom && r.obj == p.obj",
    )
    policy = policy_text(rules, links)

    theirs = of_pycasbin(model, policy, (subject, domain, path), [(subject, role, domain) for role in roles])

    assert theirs == of_ours(model, policy, (subject, domain, path), roles)


@pytest.mark.parametrize("hops", [8, 9])
def test_the_depth_of_roles_is_pycasbins(hops: int) -> None:
    links = [("alice" if at == 0 else f"role:{at}", f"role:{at + 1}") for at in range(hops)]
    policy = policy_text([(f"role:{hops}", "/a", "GET", "allow")], links)
    values = ("alice", "/a", "GET")

    assert of_pycasbin(model_text(), policy, values, []) == of_ours(model_text(), policy, values, [])
    assert of_ours(model_text(), policy, values, [])[0] is True
