"""What a good policy does not need: rules that change nothing, roles about which no rule is, slow expressions.

Advice is no reason to refuse a policy, and costs more than loading it: `policy lint` gives it, a reload does not.
"""

from __future__ import annotations

import ast
import itertools
from typing import TYPE_CHECKING

from extauthz.analysis.backtracking import backtracks
from extauthz.analysis.half_folder import half_folders
from extauthz.analysis.members import memberless
from extauthz.analysis.wider import Field
from extauthz.engine import Finding, Severity, reference
from extauthz.engine.clause import clauses
from extauthz.engine.translation import PLACEHOLDERS, translated

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from extauthz.engine import Engine

    Advice = Iterator[tuple[int, str, str]]

# Rows that may be wider than one row, which are looked for.
_MOST_WAYS = 1_000
_ORDERED = frozenset({"priority(p_eft) || deny"})
_DENIES_FIRST = frozenset({reference.DENY_OVERRIDE, reference.ALLOW_AND_DENY})
_EXPRESSIONS = frozenset({*PLACEHOLDERS, "regexMatch"})


def advice(engine: Engine, brought: Collection[str] = ()) -> tuple[Finding, ...]:
    """Warnings about rows of the policy, in their order.

    `brought`: roles (role:NAME) that credentials may bring; "*" for any.
    """
    found = sorted(
        [
            *_shadowed(engine),
            *_unused(engine),
            *_slow(engine),
            *((line, "memberless", message) for line, message in memberless(engine, brought)),
            *((line, "folder", message) for line, message in half_folders(engine)),
        ]
    )
    path = engine.source.policy_path
    return tuple(Finding(path, line, Severity.WARNING, code, message) for line, code, message in found)


def _shadowed(engine: Engine) -> Advice:
    """Rows without which every request is answered the same."""
    model, rules = engine.model, engine.rules
    if engine.mode != "indexed" or model.effect == reference.SUBJECT_PRIORITY:
        return
    fields = _fields(engine)
    keys = [tuple(one.key(value) for one, value in zip(fields, row, strict=True)) for row in rules.fields]
    first: dict[tuple[str, ...], int] = {}
    for place, key in enumerate(keys):
        first.setdefault(key, place)
        for one, value in zip(fields, key, strict=True):
            one.known.add(value)
    for place, row in enumerate(rules.fields):
        ways = [list(one.wider(value)) for one, value in zip(fields, row, strict=True)]
        if model.effect_field is not None:
            ways[model.effect_field] = list(_effects(model.effect, row[model.effect_field]))
        for way in itertools.islice(itertools.product(*ways), _MOST_WAYS):
            other = first.get(way, place)
            earlier = other < place or (way != keys[place] and model.effect not in _ORDERED)
            if other != place and earlier and rules.fields[other] != row:
                line, text = rules.where(other)
                message = f"changes nothing: line {line} decides all that it matches ({text})"
                yield rules.where(place)[0], "shadowed", message
                break


def _effects(effect: str, own: str) -> Sequence[str]:
    """What the wider row may say so that the other does not count."""
    if effect in _ORDERED or (effect in _DENIES_FIRST and own == "allow"):
        return ("allow", "deny")
    return (own,)


def _fields(engine: Engine) -> list[Field]:
    """How each field is compared; those that the matcher never reads are all alike."""
    model = engine.model
    names = [node.id for node in ast.walk(model.matcher) if isinstance(node, ast.Name)]
    read = [name[2:] for name in names if name.startswith("p_")]
    fields = [Field("==" if name in {*read, "eft"} else "") for name in model.policy]
    if len(engine.matcher.branches) > 1:
        return fields
    for conjunct in engine.matcher.branches[0]:
        if len(conjunct.tests) != 1 or read.count(model.policy[conjunct.tests[0].field]) > 1:
            continue
        (test,) = conjunct.tests
        if not test.is_role:
            fields[test.field] = Field(test.function)
        elif test.domain is None and not engine.graphs[test.function].shape.cycle:
            fields[test.field] = Field(test.function, engine.graphs[test.function])
    return fields


def _unused(engine: Engine) -> Advice:
    """Roles that are given, about which no rule is, and that have no roles of which one is."""
    used = {(clause.function, clause.policy) for clause in clauses(engine.model)}
    for name, graph in engine.graphs.items():
        fields = [engine.model.policy.index(policy) for function, policy in used if function == name]
        calls = [node for node in ast.walk(engine.model.matcher) if _calls(node, name)]
        if not fields or len(calls) > len(fields):
            continue
        named = {row[field] for row in engine.rules.fields for field in fields}
        told = set[str]()
        for number, text in enumerate(engine.source.policy.decode().split("\n"), start=1):
            row = [part.strip() for part in text.split(",")]
            if len(row) < engine.model.widths[name] + 1 or row[0] != name or row[2] in told:
                continue
            told.add(row[2])
            domain = row[3] if graph.arity > 2 else ""
            if named.isdisjoint(graph.reach(row[2], domain)):
                yield number, "unused", f"no rule is about {row[2]}, or about a role that it has"


def _calls(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


def _slow(engine: Engine) -> Advice:
    """Expressions for which some text takes for ever."""
    for clause in clauses(engine.model):
        if clause.function not in _EXPRESSIONS:
            continue
        field = engine.model.policy.index(clause.policy)
        for place, row in enumerate(engine.rules.fields):
            pattern = row[field]
            expression = pattern if clause.function == "regexMatch" else translated(clause.function, pattern)
            repeated = backtracks(expression)
            if repeated:
                message = f"{pattern!r}: {repeated} can take for ever on some text"
                yield engine.rules.where(place)[0], "slow", message
