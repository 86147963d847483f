"""All rules that match one request, whether they decide or not, and what the effect makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from extauthz.analysis.outcome import ALLOW_AND_DENY
from extauthz.engine import EnforceError, Verdict, reference
from extauthz.engine.explain import role_path
from extauthz.engine.scan import matches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from extauthz.engine import Engine
    from extauthz.engine.rows import Row

_WORDS = {
    reference.ALLOW_OVERRIDE: "one rule that allows is enough; a deny is never looked at",
    reference.DENY_OVERRIDE: "allowed, unless a rule denies",
    ALLOW_AND_DENY: "some rule has to allow, and none may deny",
    reference.SUBJECT_PRIORITY: "the first rule that matches decides; a subject's own come before its roles'",
}


@dataclass(frozen=True, slots=True)
class Matched:
    """A rule that matches, and how the subject comes to its role."""

    row: Row
    role_path: tuple[str, ...]


def in_words(effect: str) -> str:
    """A model's effect as a sentence."""
    return _WORDS.get(effect, "the first rule that matches decides")


def matching_rules(engine: Engine, values: Sequence[str], roles: Sequence[str]) -> tuple[Matched, ...]:
    """The rules that match, in the order in which they are tried. Raises EnforceError. Walks all rules."""
    evaluate = reference.evaluator(engine.functions(values[engine.model.subject], roles))
    request = {f"r_{name}": value for name, value in zip(engine.model.request, values, strict=True)}
    try:
        rows = [
            rule.row
            for place, rule in enumerate(engine.rules)
            if matches(evaluate(engine.rules.matcher(place), {**request, **rule.names}))
        ]
    except Exception as error:
        raise EnforceError(f"the matcher fails on this request: {error}") from error
    return tuple(Matched(row, _path(engine, values, roles, row)) for row in rows)


def _path(engine: Engine, values: Sequence[str], roles: Sequence[str], row: Row) -> tuple[str, ...]:
    verdict = Verdict(allowed=True, reason_code="rule_allow", rule=row.fields, line=row.line)
    return role_path(engine, values, roles, verdict)
