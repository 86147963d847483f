"""Before a compiled policy decides: a sample of requests, answered also by pycasbin's evaluator.

A scan of all rules would take minutes. So for each request some rules, and the one that decided, are
matched with pycasbin's evaluator, and folded with its effectors: among those that match, the rule
that decided has to decide again.
"""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING

from extauthz.engine import reference
from extauthz.engine.compiled import NotCompiled
from extauthz.engine.matcher import PATTERNS
from extauthz.engine.scan import NONE, Scan, matches

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FunctionType

    from extauthz.engine.matcher import Matcher
    from extauthz.engine.model import Model

_REQUESTS = 24
_RULES = 24
# Casbin looks at a pattern in a time that grows with its square, or worse.
_LONGEST = 256
_PLACEHOLDER = re.compile(r":[^/]+|\{[^/]+?\}|\*")


def disagreement(decide: FunctionType, matcher: Matcher, scan: Scan, seed: str) -> str:
    """In which request of a sample the compiled policy and pycasbin disagree; empty: in none."""
    chance = random.Random(seed)  # noqa: S311 - a sample, no secret
    rules = scan.rules
    if not len(rules):
        return ""
    for _ in range(_REQUESTS):
        fields = rules.fields[chance.randrange(len(rules))]
        chosen = sorted(chance.sample(range(len(rules)), min(_RULES, len(rules))))
        sample = [rule for rule in chosen if _is_short(rules.fields[rule])]
        if not _is_short(fields):
            continue
        values = _request(matcher, scan.model, fields, chance)
        try:
            entry = decide(values, ())
        except NotCompiled:
            continue
        if entry is not None and not _is_short(rules.fields[entry[0]]):
            continue
        problem = _problem(NONE if entry is None else entry[0], values, scan, sample)
        if problem:
            return f"{values!r}: {problem}"
    return ""


def _is_short(fields: Sequence[str]) -> bool:
    return sum(map(len, fields)) <= _LONGEST


def _request(matcher: Matcher, model: Model, fields: Sequence[str], chance: random.Random) -> tuple[str, ...]:
    """A request that this rule may match."""
    values = ["x"] * len(model.request)
    for branch in matcher.branches:
        for conjunct in branch:
            for test in conjunct.tests:
                if test.request is not None:
                    value = fields[test.field]
                    if test.function == "ipMatch":
                        value = value.partition("/")[0]
                    elif test.function in PATTERNS:
                        value = _PLACEHOLDER.sub(chance.choice(("a", "b", "a/b")), value)
                    values[test.request] = value
    return tuple(values)


def _problem(place: int, values: tuple[str, ...], scan: Scan, sample: Sequence[int]) -> str:
    evaluate = reference.evaluator(scan.functions(values[scan.model.subject], ()))
    names = dict(zip((f"r_{name}" for name in scan.model.request), values, strict=True))
    found = []
    for rule in sorted({*sample, *((place,) if place != NONE else ())}):
        fields = zip((f"p_{name}" for name in scan.model.policy), scan.rules.fields[rule], strict=True)
        if matches(evaluate(scan.model.matcher, {**names, **dict(fields)})):
            found.append(rule)
    if place != NONE and place not in found:
        return f"the rule in line {scan.rules.where(place)[0]} decided, which does not match to pycasbin"
    decided = _folded(found, scan)
    if decided != place:
        line = scan.rules.where(decided)[0]
        return f"the rule in line {line} matches to pycasbin, and should have decided"
    return ""


def _folded(found: Sequence[int], scan: Scan) -> int:
    """Which of the matching rules decides."""
    rule_of_effects = reference.EffectRule(scan.model.effect)
    effects: set[int] = set()
    last = NONE
    for rule in found:
        effect = scan.rules.effect(rule)
        if scan.model.effect == reference.ALLOW_OVERRIDE and effect != reference.EFFECT_OF["allow"]:
            continue
        effects.add(effect)
        last = rule
        if rule_of_effects.decided(effects):
            break
    return last
