"""Large and ill-shaped policies: the index gives what trying every rule gives, and tries few of them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from policy_texts import ALLOW_AND_DENY, ALLOW_OVERRIDE, DENY_OVERRIDE, PRIORITY, model_text, source

from extauthz.engine import Engine
from extauthz.engine.held import WIDE, Holder, names_of
from extauthz.engine.roles import RequestRoles, RoleGraph

SERVICES = "g(r.sub, p.sub) && keyMatch(r.svc, p.svc) && {path} && keyMatch(r.act, p.act)"
Rows = list[tuple[str, ...]]


def model(path: str = "keyMatch2(r.obj, p.obj)", effect: str = ALLOW_AND_DENY) -> str:
    return model_text(
        request="sub, svc, obj, act",
        policy="sub, svc, obj, act, eft",
        effect=effect,
        matcher=SERVICES.format(path=path),
    )


def engine_of(rows: Rows, text: str) -> Engine:
    engine = Engine.from_source(source("".join(", ".join(row) + "\n" for row in rows), text))
    assert engine.mode == "indexed"
    return engine


def tried(engine: Engine, *values: str, held: tuple[str, ...], wide: bool = False) -> int:
    """How many rules the index leaves to be tried."""
    assert engine.decide is not None
    node = engine.decide.__globals__["wide0" if wide else "index0"]
    found: list[tuple[object, ...]] = []
    if isinstance(node, tuple | list):
        return len(node)
    node.collect((held, *values[1:]), found)
    return len(found)


@dataclass(frozen=True)
class Shape:
    """Rows for n, a request of them, and what its subject is."""

    rows: Callable[[int], Rows]
    request: tuple[str, ...]
    held: tuple[str, ...]


def p(sub: str, obj: str, svc: str = "s", act: str = "GET", eft: str = "allow") -> tuple[str, ...]:
    return "p", sub, svc, obj, act, eft


SHAPES = {
    "all paths begin /:a/": Shape(
        lambda n: [p("alice", f"/:a/x{i}/:b") for i in range(n)], ("alice", "s", "/1/x7/2", "GET"), ("alice",)
    ),
    "all paths begin /:a/, and end alike": Shape(
        lambda n: [p("alice", f"/:a/x{i}/edit") for i in range(n)],
        ("alice", "s", "/1/x7/edit", "GET"),
        ("alice",),
    ),
    "all paths begin /*/": Shape(
        lambda n: [p("alice", f"/*/x{i}/*") for i in range(n)], ("alice", "s", "/1/2/x7/2", "GET"), ("alice",)
    ),
    "two segments tell them apart": Shape(
        lambda n: [p("alice", f"/:a/x{i % 40}/:b/y{i // 40}") for i in range(n)],
        ("alice", "s", "/1/x7/2/y3", "GET"),
        ("alice",),
    ),
    "one role with all paths": Shape(
        lambda n: [p("role:a", f"/t{i}/:id") for i in range(n)],
        ("alice", "s", "/t7/1", "GET"),
        ("alice", "role:a"),
    ),
    "one path for all roles": Shape(
        lambda n: [p(f"role:{i}", "/t/:id") for i in range(n)],
        ("alice", "s", "/t/1", "GET"),
        ("alice", "role:7"),
    ),
    "heads of many lengths": Shape(
        lambda n: [p("alice", f"/{'t' * (i % 60)}{i}/*") for i in range(n)],
        ("alice", "s", "/ttttttt7/1", "GET"),
        ("alice",),
    ),
    "services tell them apart": Shape(
        lambda n: [p("alice", "/*", svc=f"svc{i}-*") for i in range(n)],
        ("alice", "svc7-x", "/a", "GET"),
        ("alice",),
    ),
    "gRPC methods": Shape(
        lambda n: [p("alice", f"/orders.v1.Orders/Get{i}", act="POST") for i in range(n)],
        ("alice", "s", "/orders.v1.Orders/Get7", "POST"),
        ("alice",),
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_an_ill_shaped_policy_leaves_few_rules_to_try(name: str) -> None:
    shape = SHAPES[name]
    small, large = (engine_of(shape.rows(n), model()) for n in (400, 4_000))

    assert large.enforce(*shape.request, roles=shape.held[1:]).allowed
    assert tried(large, *shape.request, held=shape.held) <= max(
        20, tried(small, *shape.request, held=shape.held)
    )


def test_a_subject_with_thousands_of_roles_is_not_looked_up_role_by_role() -> None:
    count = 3_000
    rows = [p(f"role:{i}", f"/t{i}/:id") for i in range(count)]
    rows += [("g", "alice", f"role:{i}") for i in range(count)]
    engine = engine_of(rows, model())

    assert engine.enforce("alice", "s", "/t2999/1", "GET").line == count
    assert not engine.enforce("alice", "s", "/nowhere", "GET").allowed
    assert not engine.enforce("bob", "s", "/t2999/1", "GET").allowed
    assert tried(engine, "alice", "s", "/t7/1", "GET", held=(), wide=True) <= 20


def test_a_long_path_is_an_ordinary_path() -> None:
    rows = [p("alice", f"/:a/x{i}/:b") for i in range(200)] + [p("alice", "/long/*/end")]
    engine = engine_of(rows, model())
    path = "/long" + "/s" * 32_000

    assert not engine.enforce("alice", "s", path, "GET").allowed
    assert engine.enforce("alice", "s", path + "/end", "GET").allowed
    assert not engine.enforce("alice", "s", "/" * 65_000, "GET").allowed


PATHS = {
    "keyMatch2(r.obj, p.obj)": [
        "/{a}/:id",
        "/:id/{a}",
        "/{a}/{b}",
        "/{a}/*",
        "/*/{b}",
        "/{a}.v1/{b}",
        "/{a}*",
        "*",
        "/*",
    ],
    "keyMatch(r.obj, p.obj)": ["/{a}/*", "/{a}/{b}", "*", "/{a}*", "/{a}/x{b}*"],
    "keyMatch3(r.obj, p.obj)": ["/{a}/{{id}}", "/{{id}}/{a}", "/{a}/{b}", "/{a}/*"],
    "keyMatch4(r.obj, p.obj)": ["/{a}/{{id}}", "/{{id}}/{a}", "/{{id}}/{{id}}", "/{a}/*"],
    "keyMatch5(r.obj, p.obj)": ["/{a}/{{id}}", "/{{id}}/{a}", "/{a}/{b}", "/{a}/*"],
    "globMatch(r.obj, p.obj)": ["/{a}/*", "/{a}/**", "/{a}/[0-9]", "/{a}/{b}", "*"],
    "regexMatch(r.obj, p.obj)": ["^/{a}/[0-9]+$", "/{a}/{b}", "/({a}|{b})/", ".*{b}"],
    "(r.obj == p.obj || p.obj == '*')": ["/{a}/{b}", "*"],
    "(keyMatch2(r.obj, p.obj) || r.sub == 'root')": ["/{a}/:id", "/{a}/*"],
}
EFFECTS = (ALLOW_AND_DENY, ALLOW_OVERRIDE, DENY_OVERRIDE, PRIORITY)


@pytest.mark.parametrize("path", PATHS)
def test_the_index_of_hundreds_of_rules_answers_as_trying_them_all_does(path: str) -> None:
    for effect in EFFECTS:
        chance = random.Random(path + effect)
        rules = [
            p(
                chance.choice([f"role:{chance.randrange(20)}", f"user{chance.randrange(20)}"]),
                chance.choice(PATHS[path]).format(a=f"t{chance.randrange(12)}", b=chance.randrange(12)),
                chance.choice(["s", "s1", "s*", "*"]),
                chance.choice(["GET", "POST", "*"]),
                chance.choice(["allow", "allow", "deny"]),
            )
            for _ in range(300)
        ]
        links = [("g", f"user{i}", f"role:{chance.randrange(20)}") for i in range(30)]
        links += [("g", "user0", f"role:{i}") for i in range(WIDE + 20)]
        engine = engine_of(rules + links, model(path, effect))
        for _ in range(60):
            values = (
                chance.choice(["user0", f"user{chance.randrange(40)}", "root"]),
                chance.choice(["s", "s1", "t"]),
                f"/t{chance.randrange(14)}"
                + chance.choice(["", f"/{chance.randrange(14)}", "/a/b", "/1\n", ".v1/3"]),
                chance.choice(["GET", "POST"]),
            )
            roles = tuple(f"role:{chance.randrange(22)}" for _ in range(chance.choice([0, 0, 1, 3])))

            assert engine.scan(values, roles) == engine.enforce(*values, roles=roles), (values, roles)


def test_what_is_held_is_what_a_walk_through_the_roles_finds() -> None:
    chance = random.Random(1)
    for _ in range(300):
        names = [f"n{i}" for i in range(14)]
        arity = chance.choice((2, 3))
        rows = [
            (chance.choice(names), chance.choice(names), *(("d",) if arity == 3 else ()))
            for _ in range(chance.randrange(20))
        ]
        graph = RoleGraph.of(arity, rows)
        holder = Holder(graph, frozenset(names))
        for _ in range(6):
            subject, other = chance.choice(names), chance.choice(names)
            roles = tuple(chance.sample(names, chance.randrange(3)))
            domain = chance.choice(("d", "e")) if arity == 3 else ""
            walk = RequestRoles(graph, subject, roles)
            for name, held in (
                (subject, holder.held(subject, roles, domain)),
                (other, holder.held_by_other(other, subject, roles, domain)),
            ):
                expected = walk.reached(name, domain).keys()

                assert expected == {role for role in names if role in {name, *held[0], *held[1]}}
                assert expected == set(names_of(name, *held))
