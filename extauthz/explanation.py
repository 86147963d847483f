"""What extauthz would answer to a request given in words, and why; for people, off the hot path."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from access import ANONYMOUS, AuthMethod, BadPath, ReasonCode, Subject, normalise
from access.subject import ANONYMOUS_NAME, ROLE_PREFIX
from extauthz.analysis.matching import Matched, in_words, matching_rules
from extauthz.decide import Finding, judge, reason_of
from extauthz.engine.explain import Near, nearest, role_path
from extauthz.identity_name import subject_problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from access import Effect
    from extauthz.engine import Engine

    _Finish = Callable[[Engine, tuple[str, ...], tuple[str, ...], Finding], "Explanation"]


@dataclass(frozen=True, slots=True)
class Question:
    """Request values in the model's order, the roles that a token brings, and what the values mean.

    Without `attributes` the values are taken as they are, and no role is implied.
    """

    values: tuple[str, ...]
    roles: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer with all that is known about it."""

    effect: Effect
    reason_code: ReasonCode
    reason: str
    path: str
    version: str
    rule: str = ""
    line: int | None = None
    role_path: tuple[str, ...] = ()
    nearest: tuple[Near, ...] = ()
    # All rules that match, in the order in which they are tried; None where that was not asked.
    matching: tuple[Matched, ...] | None = None
    # How matching rules become one answer, in words.
    effect_rule: str = ""


def explain(engine: Engine, question: Question, *, every_rule: bool = False) -> Explanation:
    """The answer to a question, with the way to the role and the nearest rules. Raises EnforceError.

    `every_rule`: also all rules that match, whether they decide or not.
    """
    return _answer(engine, question, _explained_with_all if every_rule else _explained)


def answer(engine: Engine, question: Question) -> Explanation:
    """The answer to a question with its rule, and no more: for many questions in a row. Raises EnforceError."""
    return _answer(engine, question, _answered)


def _answer(engine: Engine, question: Question, finish: _Finish) -> Explanation:
    roles = tuple(role if role.startswith(ROLE_PREFIX) else ROLE_PREFIX + role for role in question.roles)
    if not question.attributes:
        verdict = engine.enforce(*question.values, roles=roles)
        found = Finding(ReasonCode(verdict.reason_code), reason_of(verdict), verdict)
        return finish(engine, question.values, roles, found)
    subject = _subject(question, roles)
    problem = "" if subject is ANONYMOUS else subject_problem(subject.name)
    if problem:
        return _refused(engine, ReasonCode.INVALID_CREDENTIAL, f"the subject {problem}")
    try:
        values = _normalised(question)
    except BadPath as bad:
        return _refused(engine, ReasonCode.BAD_PATH, bad.cause)
    found = judge(engine, values, question.attributes, subject)
    return finish(engine, values, subject.request_roles, found)


def _subject(question: Question, roles: tuple[str, ...]) -> Subject:
    name = question.values[question.attributes.index("subject")]
    return ANONYMOUS if name == ANONYMOUS_NAME else Subject(name, roles, AuthMethod.JWT)


def _normalised(question: Question) -> tuple[str, ...]:
    return tuple(
        normalise(value) if attribute == "resource" else value
        for value, attribute in zip(question.values, question.attributes, strict=True)
    )


def _refused(engine: Engine, code: ReasonCode, reason: str) -> Explanation:
    return Explanation(code.outcome.effect, code, reason, engine.source.policy_path, engine.version)


def _answered(
    engine: Engine, _values: tuple[str, ...], _roles: tuple[str, ...], found: Finding
) -> Explanation:
    verdict = found.verdict
    return Explanation(
        effect=found.reason_code.outcome.effect,
        reason_code=found.reason_code,
        reason=found.reason,
        path=engine.source.policy_path,
        version=engine.version,
        effect_rule=in_words(engine.model.effect),
        rule=verdict.text if verdict else "",
        line=verdict.line if verdict else None,
    )


def _explained(
    engine: Engine, values: tuple[str, ...], roles: tuple[str, ...], found: Finding
) -> Explanation:
    verdict = found.verdict
    decided = verdict is not None and verdict.rule is not None
    return replace(
        _answered(engine, values, roles, found),
        role_path=role_path(engine, values, roles, verdict) if verdict else (),
        nearest=() if decided else nearest(engine, values, roles),
    )


def _explained_with_all(
    engine: Engine, values: tuple[str, ...], roles: tuple[str, ...], found: Finding
) -> Explanation:
    explanation = _explained(engine, values, roles, found)
    return replace(explanation, matching=matching_rules(engine, values, roles))
