"""What who-can, what-can and diff cost on policies of 1,000 and 10,000 rules with as many users.

Each figure is one line; every answer is asserted. Half the shapes are unkind: all rules on one service,
and paths that begin with variables.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sized
from pathlib import Path
from typing import TypeVar

from extauthz.analysis.diff import diff
from extauthz.analysis.people import implied_roles
from extauthz.analysis.what_can import what_can
from extauthz.analysis.who_can import who_can
from extauthz.engine import Engine, Source

MODEL = (Path(__file__).parents[1] / "policies" / "model.conf").read_bytes()
ATTRIBUTES = ("subject", "service", "resource", "action")
SHAPES = {
    "50 services": ("svc{of50}", ("/things{n}/:id", "/things{n}/*", "/things{n}", "/t{of20}/:id/sub{n}")),
    "one service": ("svc", ("/things{n}/:id", "/things{n}/*", "/things{n}", "/t{of20}/:id/sub{n}")),
    "leading variables": ("svc", ("/:a/{of30}/:b/x{n}",)),
}

Answer = TypeVar("Answer", bound=Sized)


def policy(count: int, shape: str) -> list[str]:
    """One row a rule; a tenth of the rules deny; two roles a user."""
    chance = random.Random(1)
    service, paths = SHAPES[shape]
    roles = count // 10
    rows = []
    for n in range(count):
        names = {"n": n, "of20": n % 20, "of30": n % 30, "of50": n % 50}
        path = chance.choice(paths).format(**names)
        action = chance.choice(("GET", "POST", "*", "DELETE"))
        effect = "deny" if chance.random() < 0.1 else "allow"
        rows.append(f"p, role:r{n % roles}, {service.format(**names)}, {path}, {action}, {effect}")
    rows.append("p, role:auditor, *, /*, GET, allow")
    links = [f"g, user{n}, role:r{chance.randrange(roles)}" for n in range(count) for _ in range(2)]
    return [*rows, *dict.fromkeys(links)]


def engine(rows: list[str]) -> Engine:
    text = "".join(f"{row}\n" for row in rows)
    return Engine.from_source(Source("model.conf", "policy.csv", MODEL, text.encode()), ATTRIBUTES)


def timed(what: str, ask: Callable[[], Answer]) -> Answer:
    began = time.perf_counter()
    answer = ask()
    print(f"{what:55} {time.perf_counter() - began:8.2f} s  {len(answer):6} rows")
    return answer


def measure(count: int, shape: str) -> None:
    rows = policy(count, shape)
    asked = engine(rows)
    label = f"{count:,} rules, {shape}:"
    place = ("svc1" if shape == "50 services" else "svc", "/a/b/c/d", "GET")
    who = timed(f"{label} who-can", lambda: who_can(asked, place, ATTRIBUTES))
    assert "role:auditor" in {one.name for one in who}
    rights = timed(f"{label} what-can", lambda: what_can(asked, "user1", implied_roles("user1"), ATTRIBUTES))
    assert all(asked.enforce(*one.witness).allowed for one in rights)
    fewer = engine([row for row in rows if "role:auditor" not in row])
    changes = timed(f"{label} diff, a rule for all paths less", lambda: diff(asked, fewer, ATTRIBUTES))
    assert [True] == [change.old.allowed for change in changes if "role:auditor" in change.by_role]
    assert () == timed(f"{label} diff, nothing", lambda: diff(asked, engine(rows[::-1]), ATTRIBUTES))
    if count <= 1_000:
        new = engine(["p, role:nobody, x, /x, GET, allow"])
        changes = timed(f"{label} diff, everything", lambda: diff(asked, new, ATTRIBUTES))
        assert len({change.old.row.line for change in changes if change.old.row}) > count / 2


if __name__ == "__main__":
    for shape in SHAPES:
        measure(1_000, shape)
    measure(10_000, "50 services")
