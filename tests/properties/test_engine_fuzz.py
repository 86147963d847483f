"""The engine against fresh pycasbin Enforcers, over generated worlds: models, policies, requests with roles.

20,000 requests by default. FUZZ_WORLDS=n makes it n worlds, of seeds that no run had before (`make fuzz`);
a failure names its seed.
"""

from __future__ import annotations

import logging
import os
import random
import time
from collections import Counter

import pytest
from generated import World, of_pycasbin, world
from policy_texts import ALLOW_OVERRIDE, PRIORITY, SUBJECT_PRIORITY, source

from extauthz.engine import EnforceError, Engine, load

LONG = int(os.environ.get("FUZZ_WORLDS", "0"))
FIRST_SEED = time.time_ns() // 1_000_000 if LONG else 0
PARTS = 8
# Of the default run; enough for 20,000 requests to be answered.
WORLDS = LONG or 2_800


def of_ours(engine: Engine, values: tuple[str, ...], roles: tuple[str, ...]) -> tuple[object, ...]:
    try:
        verdict = engine.enforce(*values, roles=roles)
        # Whoever keeps what a subject is gets the same answer.
        held = engine.held(values[engine.model.subject], roles)
        assert engine.verdict(values, roles, held) is verdict
    except EnforceError:
        return ("error",)
    return verdict.allowed, verdict.rule or ()


def same(ours: tuple[object, ...], theirs: tuple[object, ...], effect: str) -> bool:
    """Equal but for one thing: pycasbin names a matching deny that allow-override never looks at."""
    if effect == ALLOW_OVERRIDE and ours == (False, ()):
        return theirs[0] is False
    return ours == theirs


@pytest.fixture(autouse=True)
def quiet() -> None:
    """Pycasbin logs each request."""
    logging.getLogger("casbin").setLevel(logging.CRITICAL)


@pytest.mark.timeout(0 if LONG else 180)
@pytest.mark.parametrize("part", range(PARTS))
def test_answers_rules_and_failures_are_pycasbins(part: int) -> None:
    asked: Counter[object] = Counter()
    for seed in range(FIRST_SEED + part, FIRST_SEED + WORLDS, PARTS):
        made = world(random.Random(seed))
        engine, _ = load(source(made.policy, made.model))
        if engine is None:
            continue
        assert engine.mode == "indexed", engine.fallback_reason
        for values, roles in made.requests:
            theirs = of_pycasbin(made, values, roles)
            ours = of_ours(engine, values, roles)
            asked[ours[0]] += 1

            assert same(ours, theirs, made.effect), (
                seed,
                values,
                roles,
                ours,
                theirs,
                made.model,
                made.policy,
            )
    assert LONG or asked[True] > 100 < asked[False], asked
    assert LONG or sum(asked.values()) >= 20_000 // PARTS, asked


def decidable(count: int, *, effects: tuple[str, ...] | None = None) -> list[tuple[World, Engine]]:
    """Worlds that load, with their engines."""
    found: list[tuple[World, Engine]] = []
    seed = 10**6
    while len(found) < count:
        seed += 1
        made = world(random.Random(seed))
        engine, _ = load(source(made.policy, made.model))
        if engine is not None and (effects is None or made.effect in effects):
            found.append((made, engine))
    return found


def test_the_order_of_rows_changes_no_decision_unless_the_effect_looks_at_it() -> None:
    for made, engine in decidable(150):
        if made.effect in {PRIORITY, SUBJECT_PRIORITY}:
            continue
        rows = made.policy.splitlines(keepends=True)
        random.Random(1).shuffle(rows)
        shuffled = Engine.from_source(source("".join(rows), made.model))
        for values, roles in made.requests:
            before, after = of_ours(engine, values, roles), of_ours(shuffled, values, roles)

            # Under allow-override a failure may come before or after what decides.
            assert before[0] == after[0] or "error" in (before[0], after[0]), (values, roles, made)


def test_without_the_rule_that_decided_the_answer_is_another_one() -> None:
    for made, engine in decidable(150):
        lines = made.policy.split("\n")
        for values, roles in made.requests:
            try:
                verdict = engine.enforce(*values, roles=roles)
            except EnforceError:
                continue
            if verdict.line is None:
                continue
            rest = [line for line in lines if line != lines[verdict.line - 1]]
            without, _ = load(source("\n".join(rest), made.model))
            if without is not None:
                assert of_ours(without, values, roles) != (verdict.allowed, verdict.rule)


def test_a_rule_of_somebody_else_changes_nothing() -> None:
    for made, engine in decidable(150):
        first = next(line for line in made.policy.splitlines() if line.startswith("p,"))
        fields = first.split(", ")
        if "g(r.sub, p.sub" not in made.model or "||" in made.model or "priority" in made.model:
            continue
        fields[1] = "nobody-else"
        more, _ = load(source(made.policy + ", ".join(fields) + "\n", made.model))
        for values, roles in made.requests:
            if more is not None:
                ours = of_ours(engine, values, roles)

                assert "error" in ours or of_ours(more, values, roles) == ours
