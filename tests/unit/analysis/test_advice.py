"""What lint advises about a policy that loads, and that what it calls shadowed changes no answer."""

from __future__ import annotations

import itertools
import random

import pytest
from generated import world
from policy_texts import (
    ALLOW_AND_DENY,
    ALLOW_OVERRIDE,
    DENY_OVERRIDE,
    PRIORITY,
    SUBJECT_PRIORITY,
    model_text,
    source,
)

from extauthz.analysis.advice import advice
from extauthz.analysis.backtracking import backtracks
from extauthz.engine import Engine, load

MATCHER = "g(r.sub, p.sub) && keyMatch2(r.obj, p.obj) && keyMatch(r.act, p.act)"
MODEL = model_text(matcher=MATCHER)


def advised(policy: str, model: str = MODEL) -> list[str]:
    return [str(one) for one in advice(Engine.from_source(source(policy, model)))]


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        pytest.param("alice, /a/1, GET, allow", "alice, /a/:id, GET, allow", id="a variable"),
        pytest.param("alice, /a/:id, GET, allow", "alice, /a/*, GET, allow", id="all below"),
        pytest.param("alice, /a/b/:x/d, GET, allow", "alice, /a/:y/*, GET, allow", id="both"),
        pytest.param("alice, /a/*, GET, allow", "alice, /*, GET, allow", id="all below above"),
        pytest.param("alice, /a, GET, allow", "alice, *, GET, allow", id="all paths"),
        pytest.param("alice, /a, GET, allow", "alice, /a, *, allow", id="all methods"),
        pytest.param("alice, /a, GET, allow", "alice, /a, G*, allow", id="some methods"),
        pytest.param("alice, /a, GET, allow", "role:a, /a, GET, allow", id="a role of the subject"),
        pytest.param("alice, /a, GET, allow", "role:b, /:x, GET, deny", id="a denied role of a role"),
        pytest.param("role:a, /a, GET, deny", "role:b, /a, *, deny", id="a wider deny"),
    ],
)
def test_a_row_within_a_wider_one_is_told(narrow: str, wide: str) -> None:
    links = "g, alice, role:a\ng, role:a, role:b\np, role:b, /used/too, GET, allow\n"
    for lines in ((narrow, wide), (wide, narrow)):
        first = lines.index(narrow) + 1
        found = advised("".join(f"p, {line}\n" for line in lines) + links)
        message = f"changes nothing: line {3 - first} decides all that it matches (p, {wide})"

        assert found == [f"policy.csv:{first}: warning[shadowed]: {message}"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("alice, /a, GET, allow", "alice, /a/*, GET, allow", id="a folder and what is below"),
        pytest.param("alice, /a/:x, GET, allow", "alice, /a/:x/b, GET, allow", id="deeper"),
        pytest.param("alice, /a, GET, deny", "alice, /*, GET, allow", id="a deny in what is allowed"),
        pytest.param("alice, /a, GET, allow", "bob, /*, GET, allow", id="somebody else"),
        pytest.param("alice, /a/:x, GET, allow", "alice, /:y/b, GET, allow", id="that cross"),
        pytest.param("alice, /a//, GET, allow", "alice, /a/:x/:y, GET, allow", id="empty segments"),
    ],
)
def test_rows_that_both_count_are_left_alone(one: str, other: str) -> None:
    assert [] == advised(f"p, {one}\np, {other}\n")


def test_the_order_counts_where_the_first_rule_decides() -> None:
    model = model_text(policy="priority, sub, obj, act, eft", effect=PRIORITY)

    assert [] == advised("p, 1, alice, /a, GET, deny\np, 2, alice, /*, GET, allow\n", model)
    (found,) = advised("p, 2, alice, /a, GET, deny\np, 1, alice, /*, GET, allow\n", model)
    assert found.startswith("policy.csv:1: warning[shadowed]")


def without(policy: str, line: int) -> str:
    lines = policy.split("\n")
    return "\n".join(lines[: line - 1] + lines[line:])


def test_without_a_shadowed_row_every_answer_is_the_same() -> None:
    told = 0
    chance = random.Random(3)
    paths = ("/a", "/a/*", "/a/:id", "/:x/b", "/*", "/a/b", "/:x/:y", "*", "/a/:x/*")
    asked = ("/a", "/a/", "/a/b", "/a/b/c", "/b/b", "/", "/c")
    for effect in (ALLOW_OVERRIDE, DENY_OVERRIDE, ALLOW_AND_DENY, PRIORITY, SUBJECT_PRIORITY):
        model = model_text(effect=effect, matcher=MATCHER)
        for _ in range(25):
            rows = [
                f"p, {chance.choice(('alice', 'role:a', 'role:b'))}, {chance.choice(paths)}, "
                f"{chance.choice(('GET', 'G*', '*'))}, {chance.choice(('allow', 'deny'))}"
                for _ in range(6)
            ]
            policy = "\n".join([*dict.fromkeys(rows), "g, alice, role:a", "g, role:a, role:b", ""])
            engine = Engine.from_source(source(policy, model))
            for finding in advice(engine):
                if finding.code != "shadowed":
                    continue
                told += 1
                other = Engine.from_source(source(without(policy, finding.line), model))
                for request in itertools.product(("alice", "role:a", "bob"), asked, ("GET", "PUT", "G")):
                    assert engine.enforce(*request).allowed == other.enforce(*request).allowed, (
                        policy,
                        finding,
                        request,
                    )
    assert told > 50


def test_roles_without_rules_are_told_once() -> None:
    policy = (
        "p, role:b, /a, GET, allow\ng, alice, role:a\ng, role:a, role:b\ng, bob, role:c\ng, carol, role:c\n"
    )

    assert advised(policy) == [
        "policy.csv:4: warning[unused]: no rule is about role:c, or about a role that it has"
    ]


def test_a_role_that_nobody_has_is_told_once() -> None:
    policy = (
        "p, role:a, /a, GET, allow\np, role:b, /a, GET, allow\np, role:b, /b, GET, allow\ng, alice, role:a\n"
        "p, role:everyone, /c, GET, allow\np, role:authenticated, /d, GET, allow\np, alice, /e, GET, allow\n"
    )

    (found,) = advised(policy)

    assert found == (
        "policy.csv:2: warning[memberless]: nobody has role:b by this file; a token may give it only where an "
        "issuer's setting `roles` lists it, or a key has it"
    )


@pytest.mark.parametrize(
    ("links", "brought", "told"),
    [
        pytest.param("g, alice, role:b", (), False, id="a subject"),
        pytest.param("g, role:x, role:b", (), True, id="a role that nobody has"),
        pytest.param("g, alice, role:x\ng, role:x, role:b", (), False, id="a role that somebody has"),
        pytest.param("g, role:authenticated, role:b", (), False, id="a role that requests carry"),
        pytest.param("", ("role:b",), False, id="a token may bring it"),
        pytest.param("g, role:x, role:b", ("role:x",), False, id="a token may bring one that has it"),
        pytest.param("", ("role:c",), True, id="a token may bring another one"),
        pytest.param("", ("*",), False, id="a token may bring any"),
    ],
)
def test_who_counts_as_a_member(links: str, brought: tuple[str, ...], *, told: bool) -> None:
    engine = Engine.from_source(source(f"p, role:b, /a, GET, allow\n{links}\n", MODEL))

    assert [one.code for one in advice(engine, brought)] == (["memberless"] if told else [])


def test_roles_in_any_domain_have_members() -> None:
    model = model_text(
        request="sub, dom, obj",
        policy="sub, dom, obj, eft",
        roles={"g": "_, _, _"},
        matcher="g(r.sub, p.sub, r.dom) && r.dom == p.dom && r.obj == p.obj",
    )

    (found,) = advised(
        "p, role:a, d1, /a, allow\np, role:b, d1, /a, allow\ng, alice, role:a, d2\ng, role:a, role:b, d1\n",
        model,
    )
    assert found.startswith("policy.csv:2: warning[memberless]: nobody has role:b")


PAIR = "p, bob, /x, GET, allow\np, bob, /x/*, GET, allow\n"


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        pytest.param(f"{PAIR}p, alice, /x/*, GET, allow", 3, id="the half of a pair that another one has"),
        pytest.param(f"p, alice, /x/*, GET, allow\n{PAIR}", 1, id="before it"),
        pytest.param(f"{PAIR}p, alice, /x/*, POST, allow", None, id="another method"),
        pytest.param(f"{PAIR}p, alice, /y/*, GET, allow", None, id="another folder"),
        pytest.param("p, bob, /x, GET, allow\np, alice, /x/*, GET, allow", None, id="no pair"),
        pytest.param(f"{PAIR}p, alice, /x/*, GET, allow\np, alice, /x, *, allow", None, id="a wider row"),
        pytest.param(
            f"{PAIR}p, alice, /x/*, GET, allow\ng, alice, role:a\np, role:a, /:x, GET, allow",
            None,
            id="a role",
        ),
        pytest.param(
            f"{PAIR}p, alice, /x/*, GET, allow\np, alice, /x, GET, deny", None, id="denied on purpose"
        ),
        pytest.param(f"{PAIR}p, alice, /*, GET, allow", None, id="everything"),
        pytest.param(f"{PAIR}p, alice, /x/*, GET, deny", None, id="a deny"),
    ],
)
def test_an_allow_of_what_is_below_a_folder_is_told_where_others_have_the_folder_too(
    rows: str, line: int | None
) -> None:
    found = [one for one in advised(f"{rows}\n") if "[folder]" in one]

    message = f"warning[folder]: allows what is below /x, but not /x itself, which line {2 if line == 1 else 1} allows"
    assert [one.startswith(f"policy.csv:{line}: {message}") for one in found] == ([True] if line else [])


def test_expressions_that_can_take_for_ever_are_told() -> None:
    model = model_text(matcher="g(r.sub, p.sub) && regexMatch(r.obj, p.obj) && r.act == p.act")

    (found,) = advised("p, alice, ^(/[a-z]+)*$, GET, allow\np, alice, ^(a+)+$, GET, allow\n", model)
    assert found.startswith("policy.csv:2: warning[slow]: '^(a+)+$'")


@pytest.mark.parametrize(
    ("expression", "slow"),
    [
        pytest.param("(a+)+", True, id="plus in plus"),
        pytest.param("((a*))*b", True, id="star in star, in brackets"),
        pytest.param("(a|b+)+", True, id="a plus in a branch"),
        pytest.param("(x*y*)*", True, id="two stars in one"),
        pytest.param("x(?:[a-z]+)*y", True, id="a class"),
        pytest.param("(a|ab|b)*", True, id="branches that others make up"),
        pytest.param("(a|aa)+$", True, id="a branch twice another"),
        pytest.param(r"(\d+|[a-z]+)*", True, id="branches with a plus each"),
        pytest.param(r"(\w\w|\d\d)+", True, id="a class within another"),
        pytest.param("(a*a)*", True, id="a star and its letter"),
        pytest.param("(a??b?)*", True, id="branches that may be empty"),
        pytest.param("(a{2,5})+", True, id="some in plus"),
        pytest.param("(a{1,30})*", True, id="many in star"),
        pytest.param("(a|a)*", False, id="the same letter, which Python makes one of"),
        pytest.param("(a|ab)*", False, id="branches that differ in their second letter"),
        pytest.param("(ab|ba)*", False, id="branches that begin differently"),
        pytest.param("(/[^/]+)+", False, id="each turn has a beginning"),
        pytest.param("(?:/[a-z]+)*/?$", False, id="a path"),
        pytest.param(r"([0-9]{1,3}\.){3}[0-9]{1,3}", False, id="an address"),
        pytest.param("a+b+c*", False, id="one after the other"),
        pytest.param("[a-z]*" * 50, False, id="many after the other"),
        pytest.param("(?=a)(b|bc|c)*", False, id="what is not looked into"),
        pytest.param("(", False, id="none at all"),
    ],
)
def test_which_expressions_backtrack(expression: str, *, slow: bool) -> None:
    assert bool(backtracks(expression)) is slow


def test_generated_policies_are_advised_about_without_failing() -> None:
    for seed in range(150):
        made = world(random.Random(seed))
        engine, _ = load(source(made.policy, made.model))

        assert engine is None or all(one.line for one in advice(engine)), made.policy
