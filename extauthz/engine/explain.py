"""Why the policy answers so: the path to the role that decided, and the rules that nearly matched.

Off the hot path: each question walks all rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from extauthz.engine import reference
from extauthz.engine.clause import conjuncts, shown
from extauthz.engine.embedded import filled
from extauthz.engine.enforcer import EnforceError
from extauthz.engine.roles import RequestRoles
from extauthz.engine.scan import matches

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from extauthz.engine.enforcer import Engine
    from extauthz.engine.matcher import Test
    from extauthz.engine.rows import Row
    from extauthz.engine.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Near:
    """A rule that did not match, and the parts of the matcher that failed on it."""

    row: Row
    failed: tuple[str, ...]


def role_path(
    engine: Engine, values: Sequence[str], roles: Sequence[str], verdict: Verdict
) -> tuple[str, ...]:
    """How the subject comes to the role of the deciding rule: (alice, role:support, role:staff)."""
    if verdict.rule is None or "g" not in engine.graphs:
        return ()
    subject = values[engine.model.subject]
    held = RequestRoles(engine.graphs["g"], subject, tuple(roles))
    for test in _role_tests(engine):
        domain = "" if test.domain is None else values[test.domain]
        path = held.path(subject, verdict.rule[test.field], domain)
        if path:
            return path
    return ()


def _role_tests(engine: Engine) -> Iterator[Test]:
    """Where the matcher asks for roles of the subject."""
    for branch in engine.matcher.branches:
        for conjunct in branch:
            for test in conjunct.tests:
                if test.function == "g" and test.request == engine.model.subject:
                    yield test


def nearest(engine: Engine, values: Sequence[str], roles: Sequence[str], limit: int = 3) -> tuple[Near, ...]:
    """The allowing rules with the fewest failing parts, in the order of the policy. Raises EnforceError."""
    model = engine.model
    parts = [(shown(part), part) for part in conjuncts(model)]
    evaluate = reference.evaluator(engine.functions(values[model.subject], roles))
    request = {f"r_{name}": value for name, value in zip(model.request, values, strict=True)}
    found = []
    try:
        for rule in engine.rules:
            if rule.effect != reference.EFFECT_OF["allow"]:
                continue
            names = {**request, **rule.names}
            failed = tuple(
                text
                for text, part in parts
                if not matches(evaluate(filled(part, model, rule.row.fields), names))
            )
            if failed:
                found.append(Near(rule.row, failed))
    except Exception as error:
        raise EnforceError(f"the matcher fails on this request: {error}") from error
    return tuple(sorted(found, key=lambda near: len(near.failed))[:limit])
