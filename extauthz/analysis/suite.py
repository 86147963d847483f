"""Running policy tests: which cases fail and why, and which rules no case decided.

A case is answered as extauthz would answer: paths are normalised, everyone's roles are implied.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from extauthz.analysis.cases import Case
from extauthz.explanation import Explanation, Question, answer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from extauthz.analysis.cases import Suite
    from extauthz.engine import Engine
    from extauthz.engine.rows import Row

# `rule: ""` in a case: no rule may decide.
NO_RULE = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What the policy answered to a case, and what is wrong with that; nothing when the case holds."""

    case: Case
    explanation: Explanation
    problem: str = ""
    # Not a case of the file, but one that it closes.
    unlisted: bool = False


@dataclass(frozen=True, slots=True)
class Coverage:
    """The rules of a policy, and those of them that decided no listed case."""

    rules: int
    undecided: tuple[Row, ...]


def results(engine: Engine, suite: Suite, attributes: tuple[str, ...]) -> Iterator[Result]:
    """The cases' results, in the order of the file. Raises EnforceError."""
    for case in suite.cases:
        explanation = _answer(engine, case, attributes)
        yield Result(case, explanation, _problem(case, explanation))


def unlisted_count(suite: Suite, subject: int) -> int:
    """How many requests a closed suite asks beside its cases, at most."""
    columns = _columns(suite, subject)
    return math.prod(len(column) for column in columns) * len(_principals(suite, subject))


def unlisted_results(engine: Engine, suite: Suite, attributes: tuple[str, ...]) -> Iterator[Result]:
    """One result for each combination of the file's values that no case lists: it has to be denied."""
    subject = engine.model.subject
    listed = {case.asked for case in suite.cases}
    for name, roles in _principals(suite, subject):
        for others in itertools.product(*_columns(suite, subject)):
            request = (*others[:subject], name, *others[subject:])
            case = Case("unlisted", 0, request, "deny", roles)
            if case.asked not in listed:
                explanation = _answer(engine, case, attributes)
                yield Result(case, explanation, _problem(case, explanation), unlisted=True)


def coverage(engine: Engine, found: Iterable[Result]) -> Coverage:
    """What listed cases decided by which rule. The unlisted ones, all denied, prove nothing about a rule."""
    decided = {result.explanation.line for result in found if not result.unlisted}
    rows = sorted((rule.row for rule in engine.rules), key=lambda row: row.line)
    return Coverage(len(rows), tuple(row for row in rows if row.line not in decided))


def _answer(engine: Engine, case: Case, attributes: tuple[str, ...]) -> Explanation:
    return answer(engine, Question(case.request, case.roles, attributes))


def _problem(case: Case, explanation: Explanation) -> str:
    effect = explanation.effect.value
    if case.expect != effect:
        return f"expected {case.expect}, got {effect}"
    if case.rule is None or _fields(case.rule) == _fields(explanation.rule):
        return ""
    if case.rule == NO_RULE:
        return f"expected {effect} by no rule, got it by line {explanation.line}"
    decider = f"line {explanation.line}" if explanation.rule else "no rule"
    return f"expected {effect} by another rule ({case.rule}), got it by {decider}"


def _fields(rule: str) -> Sequence[str]:
    return [field.strip() for field in rule.split(",")]


def _principals(suite: Suite, subject: int) -> tuple[tuple[str, tuple[str, ...]], ...]:
    found = {(case.request[subject], frozenset(case.roles)): case.roles for case in suite.cases}
    return tuple((name, roles) for (name, _), roles in found.items())


def _columns(suite: Suite, subject: int) -> list[tuple[str, ...]]:
    """The values of the cases at each place of a request but the subject's, each once."""
    columns = zip(*(case.request for case in suite.cases), strict=True)
    return [tuple(dict.fromkeys(column)) for at, column in enumerate(columns) if at != subject]
