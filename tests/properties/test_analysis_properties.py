"""Who can, what can and diff agree with the engine, request by request, over many models and policies."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from casbin.util import builtin_operators
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

from access.subject import ANONYMOUS_NAME
from extauthz.analysis.diff import diff
from extauthz.analysis.people import implied_roles
from extauthz.analysis.what_can import Region, what_can
from extauthz.analysis.who_can import Kind, who_can
from extauthz.engine import Engine, Verdict, load

EFFECTS = (ALLOW_OVERRIDE, DENY_OVERRIDE, ALLOW_AND_DENY, PRIORITY, SUBJECT_PRIORITY)
HTTP = ("subject", "resource", "action")
FUNCTIONS = {
    "keyMatch": builtin_operators.key_match,
    "keyMatch2": builtin_operators.key_match2,
    "keyMatch3": builtin_operators.key_match3,
    "keyMatch4": builtin_operators.key_match4,
    "keyMatch5": builtin_operators.key_match5,
    "==": lambda value, text: value == text,
}


@dataclass(frozen=True)
class Shape:
    """A matcher, how it compares resource and action, and whether its requests come over HTTP."""

    matcher: str
    resource: str
    action: str
    http: bool = True


SHAPES = [
    Shape("g(r.sub, p.sub) && keyMatch2(r.obj, p.obj) && keyMatch(r.act, p.act)", "keyMatch2", "keyMatch"),
    Shape("g(r.sub, p.sub) && keyMatch(r.obj, p.obj) && r.act == p.act", "keyMatch", "=="),
    Shape("r.sub == p.sub && keyMatch3(r.obj, p.obj) && !(r.act != p.act)", "keyMatch3", "=="),
    Shape(
        "(g(r.sub, p.sub) || r.sub == 'bob') && (p.obj == '*' || keyMatch5(r.obj, p.obj)) && r.act in ('GET', p.act)",
        "keyMatch5",
        "==",
    ),
    Shape("g(r.sub, p.sub) && keyMatch4(r.obj, p.obj) && r.act == p.act", "keyMatch4", "==", http=False),
    Shape("r.sub == p.sub && keyMatch4(r.obj, p.obj) && keyMatch(r.act, p.act)", "keyMatch4", "keyMatch"),
    Shape("g(r.sub, p.sub) && !keyMatch2(r.obj, p.obj) && r.act == p.act", "keyMatch2", "=="),
    Shape("keyMatch(r.sub, p.sub) && keyMatch2(r.obj, p.obj) && r.act == p.act", "keyMatch2", "=="),
    Shape(
        "g(r.sub, p.sub) && g(r.sub, 'role:c') && keyMatch2(r.obj, p.obj) && r.act == p.act",
        "keyMatch2",
        "==",
    ),
]

NAMES = ["alice", "bob", "role:a", "role:b", "role:c"]
SUBJECTS = st.sampled_from([*NAMES, "role:everyone", "role:authenticated", "al*", "anonymous"])
OBJECTS = st.sampled_from(
    [
        "/a",
        "/a/*",
        "/a/:id",
        "/a/1",
        "/*",
        "/a/:x/b",
        "/a.b",
        "/a*",
        "/",
        "/{x}",
        "/a/{x}",
        "/{x}/b",
        "/a/b",
        "/{x}/{x}",
        "/{x}/{y}/{x}",
    ]
)
ACTIONS = st.sampled_from(["GET", "POST", "*", "P*"])
RULES = st.lists(
    st.tuples(SUBJECTS, OBJECTS, ACTIONS, st.sampled_from(["allow", "allow", "deny"])), min_size=1, max_size=6
)
LINKS = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(["role:a", "role:b", "role:c"])), max_size=5
)

ASKING = [*NAMES, "zoe", "albert", ANONYMOUS_NAME]
PATHS = [
    "/",
    "/a",
    "/a/",
    "/a/1",
    "/a/1/b",
    "/a/b",
    "/axb",
    "/a.b",
    "/ab",
    "/b",
    "/b/b",
    "/b/b/b",
    "/b/a/b",
    "/x",
    "/a/b/c",
    "/a/x/b",
]
METHODS = ["GET", "POST", "PUT", "DELETE"]
BROUGHT = [(), ("role:a",), ("role:b",), ("role:c",), ("role:a", "role:b"), ("role:a", "role:c"), ("role:z",)]
PLACES = st.lists(st.tuples(st.sampled_from(PATHS), st.sampled_from(METHODS)), min_size=3, max_size=12)


def text_of(rules: list[tuple[str, ...]], links: list[tuple[str, ...]]) -> str:
    rows = [("p", *rule) for rule in rules] + [("g", *link) for link in links]
    return "".join(", ".join(row) + "\n" for row in rows)


def engine_of(shape: Shape, effect: str, policy: str) -> Engine | None:
    return load(source(policy, model_text(effect=effect, matcher=shape.matcher)))[0]


def attributes_of(shape: Shape) -> tuple[str, ...]:
    return HTTP if shape.http else ()


def named_in(shape: Shape, rules: list[tuple[str, ...]], links: list[tuple[str, ...]]) -> set[str]:
    """The subjects that a policy tells from others."""
    in_matcher = {name for name in NAMES if f"'{name}'" in shape.matcher}
    return in_matcher | {rule[0] for rule in rules} | {name for link in links for name in link}


def askers(shape: Shape) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Subjects that such requests can have, with the roles that their tokens may bring."""
    for name in ASKING:
        if not shape.http:
            yield name, ()
        elif not name.startswith("role:"):
            yield from ((name, brought) for brought in (BROUGHT if name != ANONYMOUS_NAME else [()]))


def answer(
    shape: Shape, engine: Engine, name: str, place: tuple[str, str], brought: tuple[str, ...]
) -> Verdict:
    implied = implied_roles(name) if shape.http else ()
    return engine.enforce(name, *place, roles=(*implied, *brought))


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.matcher)
@settings(max_examples=40, deadline=None)
@given(effect=st.sampled_from(EFFECTS), rules=RULES, links=LINKS, places=PLACES)
def test_who_can_is_whom_the_engine_allows(
    shape: Shape,
    effect: str,
    rules: list[tuple[str, ...]],
    links: list[tuple[str, ...]],
    places: list[tuple[str, str]],
) -> None:
    engine = engine_of(shape, effect, text_of(rules, links))
    if engine is None:
        return
    named = named_in(shape, rules, links)
    for place in places:
        found = who_can(engine, place, attributes_of(shape))
        by_name = {one.name: one for one in found if one.kind in {Kind.SUBJECT, Kind.ANONYMOUS}}
        by_role = {one.name: one for one in found if one.kind is Kind.ROLE}
        strangers = [one for one in found if one.kind is Kind.ANYONE]
        for name, brought in askers(shape):
            allowed = answer(shape, engine, name, place, brought)
            stranger = name not in named and (name != ANONYMOUS_NAME or not shape.http)
            if "keyMatch(r.sub" in shape.matcher and stranger:
                continue
            one = (strangers[0] if strangers else None) if stranger else by_name.get(name)
            if not brought:
                assert allowed.allowed is (one is not None)
                assert one is None or allowed.line == (one.row.line if one.row else None)
            elif len(brought) == 1 and one is not None:
                assert allowed.allowed is (brought[0] not in one.unless)
            elif len(brought) == 1 and stranger:
                assert allowed.allowed is (brought[0] in by_role)


def inside(region: Region, shape: Shape, place: tuple[str, str]) -> bool:
    functions = (shape.resource, shape.action)
    return all(
        holds(FUNCTIONS[function], value, condition)
        for function, value, condition in zip(functions, place, region.conditions, strict=True)
    )


def holds(function: object, value: str, condition: str) -> bool:
    assert callable(function)
    for part in condition.split(" and "):
        bare = part.removeprefix("not ")
        if bare.startswith("== "):
            held = value == bare[3:]
        else:
            held = bare == "*" or any(function(value, one) for one in bare.split("|"))
        if held is part.startswith("not "):
            return False
    return True


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.matcher)
@settings(max_examples=40, deadline=None)
@given(effect=st.sampled_from(EFFECTS), rules=RULES, links=LINKS, places=PLACES)
def test_what_can_is_what_the_engine_allows(
    shape: Shape,
    effect: str,
    rules: list[tuple[str, ...]],
    links: list[tuple[str, ...]],
    places: list[tuple[str, str]],
) -> None:
    engine = engine_of(shape, effect, text_of(rules, links))
    if engine is None:
        return
    for name, brought in askers(shape):
        roles = (*(implied_roles(name) if shape.http else ()), *brought)
        found = what_can(engine, name, roles, attributes_of(shape))
        for place in places:
            told = any(
                inside(one.region, shape, place)
                and not any(inside(exception, shape, place) for exception in one.exceptions)
                for one in found
            )
            assert told is engine.enforce(name, *place, roles=roles).allowed
        for one in found:
            assert engine.enforce(*one.witness, roles=roles).allowed


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.matcher)
@settings(max_examples=60, deadline=None)
@given(data=st.data(), effect=st.sampled_from(EFFECTS), rules=RULES, links=LINKS, places=PLACES)
def test_diff_is_where_the_engines_differ(
    *,
    shape: Shape,
    data: st.DataObject,
    effect: str,
    rules: list[tuple[str, ...]],
    links: list[tuple[str, ...]],
    places: list[tuple[str, str]],
) -> None:
    old = engine_of(shape, effect, text_of(rules, links))
    changed = data.draw(st.permutations(rules)) if data.draw(st.booleans()) else rules
    kept = data.draw(st.integers(0, len(changed)))
    more = data.draw(st.lists(RULES.map(lambda some: some[0]), max_size=2))
    other_links = links[: data.draw(st.integers(0, len(links)))]
    other_effect = data.draw(st.sampled_from([effect, effect, effect, *EFFECTS]))
    new = engine_of(shape, other_effect, text_of([*changed[:kept], *more], other_links))
    if old is None or new is None:
        return

    found = diff(old, new, attributes_of(shape))

    by_rules = {}
    for change in found:
        lines = tuple(one.row.line if one.row else None for one in (change.old, change.new))
        by_rules[lines] = change
        name, *place = change.witness
        was = answer(shape, old, name, (place[0], place[1]), change.roles)
        becomes = answer(shape, new, name, (place[0], place[1]), change.roles)
        assert (change.old.allowed, change.new.allowed) == (was.allowed, becomes.allowed)
        assert was.allowed is not becomes.allowed
        assert lines == (was.line, becomes.line)
    named = named_in(shape, [*rules, *more], links)
    for name, brought in askers(shape):
        for place in places:
            was, becomes = answer(shape, old, name, place, brought), answer(shape, new, name, place, brought)
            if was.allowed is becomes.allowed:
                continue
            change = by_rules[was.line, becomes.line]
            if not brought and (name in named or (name == ANONYMOUS_NAME and shape.http)):
                assert name in change.subjects
            elif not brought:
                assert change.anyone
            elif len(brought) == 1 and name not in named:
                assert brought[0] in change.by_role or change.anyone or "keyMatch(r.sub" in shape.matcher
    assert len(by_rules) == len(found)


DOMAINS = st.sampled_from(["d1", "d2", "d3"])
IN_DOMAINS = model_text(
    request="sub, dom, obj",
    policy="sub, dom, obj, eft",
    roles={"g": "_, _, _"},
    matcher="g(r.sub, p.sub, r.dom) && r.dom == p.dom && keyMatch2(r.obj, p.obj)",
)
DOMAIN_RULES = st.lists(
    st.tuples(st.sampled_from(NAMES), DOMAINS, OBJECTS, st.sampled_from(["allow", "deny"])),
    min_size=1,
    max_size=5,
)
DOMAIN_LINKS = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES), DOMAINS), max_size=5)


def in_domain(region: Region, domain: str, path: str) -> bool:
    where, what = region.conditions
    return holds(FUNCTIONS["=="], domain, where) and holds(FUNCTIONS["keyMatch2"], path, what)


@settings(max_examples=100, deadline=None)
@given(rules=DOMAIN_RULES, links=DOMAIN_LINKS, others=DOMAIN_RULES, other_links=DOMAIN_LINKS)
def test_roles_in_domains_are_told_apart(
    rules: list[tuple[str, ...]],
    links: list[tuple[str, ...]],
    others: list[tuple[str, ...]],
    other_links: list[tuple[str, ...]],
) -> None:
    old, _ = load(source(text_of(rules, links), IN_DOMAINS))
    new, _ = load(source(text_of(others, other_links), IN_DOMAINS))
    if old is None or new is None:
        return

    found = {
        tuple(one.row.line if one.row else None for one in (change.old, change.new)): change
        for change in diff(old, new, ())
    }
    for change in found.values():
        assert old.enforce(*change.witness).allowed is change.old.allowed is not change.new.allowed
        assert new.enforce(*change.witness).allowed is change.new.allowed
    named = {row[0] for row in rules} | {name for link in links for name in link[:2]}
    rights = {name: what_can(old, name, (), ()) for name in [*NAMES, "zoe"]}
    for domain, path in itertools.product(("d1", "d2", "d3", "d4"), ("/a", "/a/1", "/a/1/b", "/axb")):
        allowed = {one.name for one in who_can(old, (domain, path), ()) if one.kind is Kind.SUBJECT}
        for name, open_ in rights.items():
            was, becomes = old.enforce(name, domain, path), new.enforce(name, domain, path)
            assert was.allowed is any(
                in_domain(one.region, domain, path)
                and not any(in_domain(exception, domain, path) for exception in one.exceptions)
                for one in open_
            )
            assert name not in named or was.allowed is (name in allowed)
            assert was.allowed is becomes.allowed or (was.line, becomes.line) in found
