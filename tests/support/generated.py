"""Generated models, policies and requests, and pycasbin's own answers to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import casbin
from casbin.persist.adapters import StringAdapter
from policy_texts import (
    ALLOW_AND_DENY,
    ALLOW_OVERRIDE,
    DENY_OVERRIDE,
    PRIORITY,
    SUBJECT_PRIORITY,
    model_text,
)

if TYPE_CHECKING:
    from random import Random

EFFECTS = (ALLOW_OVERRIDE, DENY_OVERRIDE, ALLOW_AND_DENY, PRIORITY, SUBJECT_PRIORITY)
SUBJECTS = ("alice", "bob", "carol", "role:a", "role:b", "role:c", "role:d", "*")
PATHS = (
    *(
        "/a",
        "/a/*",
        "/a/:id",
        "/a/1",
        "/*",
        "*",
        "/a/:x/b",
        "/a.b",
        "/a*",
        "/",
        "a:b",
        "/:x/b",
        "/*/b",
        "/a/*/c/*",
    ),
    *(
        "/a/b/c",
        "/:a/:b/c",
        "/a/b/:c",
        "/a|/b",
        "/a/.*",
        "/[ab]/c",
        "/a/{id}",
        "/{x}/b",
        "/{x}/{x}",
        "/a+",
        "(/a)",
    ),
)
VALUES = (
    *(
        "/a",
        "/a/",
        "/a/1",
        "/a/1/b",
        "/axb",
        "/a.b",
        "/ab",
        "/",
        "*",
        "a1",
        "/a/%3A",
        "/b/c",
        "/a/b/c",
        "/a/b/c/d",
    ),
    *("/b/b", "/a/a", "/a\n", "/a/1\n", "/a/b\nc", "", "/a?q=1", "/aa", "//a", "/x/y/c"),
)
ROLES = ("role:a", "role:b", "role:z")
ACTIONS = ("GET", "POST", "*", "P*", "GE", "")
METHODS = ("GET", "POST", "PUT", "")
NETWORKS = ("10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "::/0", "fe80::/10", "0.0.0.0/0")
ADDRESSES = ("10.1.2.3", "10.2.0.1", "192.0.2.1", "::1", "fe80::1", "nonsense", "")
SUBJECT_PARTS = (
    "g(r.sub, p.sub)",
    "r.sub == p.sub",
    "(g(r.sub, p.sub) || p.sub == '*')",
    "(r.sub == p.sub || r.sub == 'bob')",
    "(r.sub == 'carol' || g(r.sub, p.sub))",
    "p.sub == r.sub",
    "r.sub != p.sub",
    "keyMatch(r.sub, p.sub)",
    "g(r.sub, p.sub) && r.sub != 'bob'",
)
PATH_PARTS = (
    *(f"{name}(r.obj, p.obj)" for name in ("keyMatch", "keyMatch2", "keyMatch3", "keyMatch4", "keyMatch5")),
    *("regexMatch(r.obj, p.obj)", "globMatch(r.obj, p.obj)", "r.obj == p.obj", "r.obj in p.obj"),
    *("(r.obj == p.obj || p.obj == '*')", "(keyMatch2(r.obj, p.obj) || keyMatch(r.obj, p.obj))"),
    *(
        "!(keyMatch2(r.obj, p.obj))",
        "(p.obj == '*' || keyMatch2(r.obj, p.obj))",
        "keyMatch2(r.obj, '/a/:id')",
    ),
)
ACTION_PARTS = (
    *(
        "r.act == p.act",
        "keyMatch(r.act, p.act)",
        "regexMatch(r.act, p.act)",
        "(r.act == p.act || p.act == '*')",
    ),
    *("r.act in ('GET', 'POST')", "r.act == 'GET'", "p.act == 'GET'", "r.act < p.act", "!(r.act == p.act)"),
)


@dataclass(frozen=True)
class World:
    """A model, a policy, and requests with the roles that each brings along."""

    effect: str
    model: str
    policy: str
    requests: list[tuple[tuple[str, ...], tuple[str, ...]]]


def world(chance: Random, requests: int = 12) -> World:
    """A random world."""
    effect = chance.choice(EFFECTS)
    domains = chance.random() < 0.2
    addresses = chance.random() < 0.1
    parts = [chance.choice(SUBJECT_PARTS), chance.choice(PATH_PARTS), chance.choice(ACTION_PARTS)]
    request, rule = ["sub", "obj", "act"], ["sub", "obj", "act"]
    if domains:
        parts[0] = "g(r.sub, p.sub, r.dom)" + chance.choice((" && r.dom == p.dom", ""))
        request.insert(1, "dom")
        rule.insert(1, "dom")
    if addresses:
        parts.append("ipMatch(r.ip, p.ip)")
        request.append("ip")
        rule.append("ip")
    if chance.random() < 0.3:
        chance.shuffle(parts)
    matcher = " && ".join(parts)
    if chance.random() < 0.15:
        matcher = f"r.sub == 'root' || {matcher}"
    if effect == PRIORITY and chance.random() < 0.5:
        rule.insert(0, "priority")
    if chance.random() < 0.9:
        rule.append("eft")
    values = {
        "sub": SUBJECTS if chance.random() < 0.2 else SUBJECTS[:-1],
        "dom": ("d1", "d2"),
        "obj": PATHS,
        "act": ACTIONS,
        "eft": ("allow", "allow", "deny"),
        "priority": tuple(map(str, range(9))),
        "ip": NETWORKS,
    }
    rows = [
        ["p", *(chance.choice(values[name]) for name in rule)]
        for _ in range(chance.choice((1, 3, 8, 30, 60)))
    ]
    for _ in range(chance.choice((0, 2, 5, 9))):
        link = ["g", chance.choice(SUBJECTS[:-1]), chance.choice(SUBJECTS[3:-1])]
        rows.append([*link, chance.choice(("d1", "d2"))] if domains else link)
    chance.shuffle(rows)
    asked = {
        "sub": (*SUBJECTS[:5], "root", "zoe"),
        "dom": ("d1", "d2", "d3"),
        "obj": VALUES,
        "act": METHODS,
        "ip": ADDRESSES,
    }
    return World(
        effect,
        model_text(
            request=", ".join(request),
            policy=", ".join(rule),
            roles={"g": "_, _, _" if domains else "_, _"},
            effect=effect,
            matcher=matcher,
        ),
        "".join(", ".join(row) + "\n" for row in rows),
        [
            (
                tuple(chance.choice(asked[name]) for name in request),
                # To pycasbin they would change the hierarchy of subjects, and with it the order of the rules.
                tuple(chance.sample(ROLES, 0 if effect == SUBJECT_PRIORITY else chance.choice((0, 0, 1, 2)))),
            )
            for _ in range(requests)
        ],
    )


def of_pycasbin(
    world: World, values: tuple[str, ...], roles: tuple[str, ...], policy: str | None = None
) -> tuple[object, ...]:
    """What a fresh pycasbin Enforcer says: whether it allows, and the fields of the rule that it names."""
    domain = f", {values[1]}" if "_, _, _" in world.model else ""
    links = "".join(f"g, {values[0]}, {role}{domain}\n" for role in roles)
    text = (world.policy if policy is None else policy) + links
    enforcer = casbin.Enforcer(casbin.Enforcer.new_model(text=world.model), StringAdapter(text))
    try:
        allowed, explained = enforcer.enforce_ex(*values)
    except Exception:  # noqa: BLE001 - pycasbin raises anything; that both fail is what counts
        return ("error",)
    return allowed, tuple(explained)
