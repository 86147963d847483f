"""The policy engine: one immutable policy, asked request by request.

Invariants:
- nothing is half-loaded: `from_files` gives an engine without errors, or raises with all findings;
- an engine never changes, but for what its verdicts are given to keep: a reload builds another one;
- a request's roles are rows of that request alone; no other request sees them;
- the answer, and the rule behind it, are pycasbin's for the same rows (tests/properties).
"""

from __future__ import annotations

import functools
import operator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from extauthz.engine import http_lint, reference
from extauthz.engine.compiled import VERDICT_AT, NotCompiled, compiled, held_by
from extauthz.engine.extension import NO_EXTENSIONS, Extensions
from extauthz.engine.finding import Finding, PolicyError, Report, errors
from extauthz.engine.lint import checked
from extauthz.engine.matcher import Matcher, analyse
from extauthz.engine.memory import drain, uncollected
from extauthz.engine.model import Model, model_of
from extauthz.engine.rows import table_of
from extauthz.engine.rules import Rules, rules_in_order
from extauthz.engine.scan import NONE, Scan
from extauthz.engine.selfcheck import disagreement
from extauthz.engine.source import Source, read, text_of
from extauthz.engine.verdict import UNDENIED, UNMATCHED, Verdict

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence
    from types import FunctionType

    from extauthz.engine.held import Held
    from extauthz.engine.roles import RoleGraph

Mode = Literal["indexed", "pycasbin"]


class EnforceError(Exception):
    """A request that the policy cannot answer: a wrong number of values, or a matcher that fails on them."""


@dataclass(frozen=True)
class Engine:
    """One version of the policy."""

    source: Source
    model: Model
    matcher: Matcher
    rules: Rules
    graphs: Mapping[str, RoleGraph]
    # None: the rules are scanned, for the matcher is not exact.
    decide: FunctionType | None
    # Why the rules are scanned; empty where they are indexed.
    fallback_reason: str = ""
    # Warnings only.
    findings: tuple[Finding, ...] = ()

    @classmethod
    def from_files(
        cls,
        model_path: str | os.PathLike[str],
        policy_path: str | os.PathLike[str],
        request: Sequence[str] | None = None,
        extensions: Extensions = NO_EXTENSIONS,
    ) -> Engine:
        """Load a model and a policy strictly. Raises PolicyError with all findings.

        `request` names the request attributes (subject, service, resource, action, …) in the order of the
        model's request_definition; without it the policy may be about anything.
        """
        return cls.from_source(read(model_path, policy_path), request, extensions)

    @classmethod
    def from_source(
        cls, source: Source, request: Sequence[str] | None = None, extensions: Extensions = NO_EXTENSIONS
    ) -> Engine:
        """As `from_files`, for texts that were read before."""
        engine, findings = load(source, request, extensions)
        if engine is None:
            raise PolicyError(findings)
        return engine

    @property
    def version(self) -> str:
        return self.source.version

    @property
    def mode(self) -> Mode:
        """Whether the rules are indexed, or scanned with pycasbin's own evaluator."""
        return "pycasbin" if self.decide is None else "indexed"

    def enforce(self, *values: str, roles: Sequence[str] = ()) -> Verdict:
        """The answer for one request: values as the model's request_definition has them.

        `roles` act as extra g rows of the subject, for this request only. Raises EnforceError.
        """
        return self.verdict(values, roles if roles.__class__ is tuple else tuple(roles))

    def held(self, subject: str, roles: tuple[str, ...]) -> Held | None:
        """All that a subject with these roles is, for callers that ask about it again.

        None where an answer takes more than that, or where it is more than a caller should keep.
        """
        return None if self.decide is None else held_by(self.decide, subject, roles)

    def verdict(self, values: tuple[str, ...], roles: tuple[str, ...], held: Held | None = None) -> Verdict:
        """As `enforce`, for callers that have them as tuples, and maybe what this engine's `held` gave for them."""
        decide = self.decide
        if decide is None:
            return self.scan(values, roles)
        try:
            entry = decide(values, roles, held)
        except NotCompiled:
            return self.scan(values, roles)
        except Exception as error:
            if len(values) != len(self.model.request):
                return self.scan(values, roles)
            raise EnforceError(f"the compiled matcher fails on this request: {error}") from error
        if entry is None:
            return self.unmatched
        verdict: Verdict = entry[VERDICT_AT]
        return verdict

    @functools.cached_property
    def entry(self) -> Callable[..., Any]:
        """`decide`, or what raises NotCompiled where there is none; for callers to whom a call is much."""
        return _not_compiled if self.decide is None else self.decide

    def scan(self, values: Sequence[str], roles: Sequence[str]) -> Verdict:
        """As `enforce`, by trying every rule with pycasbin's own evaluator."""
        request = self.model.request
        if len(values) != len(request):
            wanted = ", ".join(request)
            raise EnforceError(f"{len(values)} values, the model's r wants {len(request)} ({wanted})")
        try:
            allowed, place = self._scan.decide(values, roles)
        except Exception as error:
            raise EnforceError(f"the matcher fails on this request: {error}") from error
        denies = place != NONE and self.rules.denies[place]
        # Casbin also names a deny that its effect never looked at.
        if (
            place == NONE
            or not (allowed or denies)
            or (denies and self.model.effect == reference.ALLOW_OVERRIDE)
        ):
            return self.unmatched
        return self.rules.verdicts[place]

    def functions(self, subject: str, roles: Sequence[str]) -> dict[str, Callable[..., Any]]:
        """What the matcher may call in one request."""
        return self._scan.functions(subject, roles)

    @property
    def _scan(self) -> Scan:
        return Scan(self.model, self.rules, self.graphs)

    @functools.cached_property
    def unmatched(self) -> Verdict:
        """The answer where no rule decides."""
        return UNDENIED if self.model.effect == reference.DENY_OVERRIDE and self.rules.fields else UNMATCHED


def _not_compiled(*_: object) -> Any:
    raise NotCompiled


def load(
    source: Source, request: Sequence[str] | None = None, extensions: Extensions = NO_EXTENSIONS
) -> tuple[Engine | None, tuple[Finding, ...]]:
    """The engine (None when a finding is an error), and all findings about both files, in their order."""
    in_model = Report(source.model_path, [])
    in_policy = Report(source.policy_path, [])
    with uncollected():
        model = _model(source, in_model, extensions)
        engine = _load(source, model, request, in_model, in_policy)
    lines = operator.attrgetter("line")
    found = (*sorted(in_model.findings, key=lines), *sorted(in_policy.findings, key=lines))
    return (None if errors(found) or engine is None else replace(engine, findings=found)), found


def _model(source: Source, report: Report, extensions: Extensions) -> Model | None:
    text = text_of(source.model, report)
    return None if report.findings else model_of(text, report, extensions)


def _load(
    source: Source,
    model: Model | None,
    request: Sequence[str] | None,
    in_model: Report,
    in_policy: Report,
) -> Engine | None:
    text = text_of(source.policy, in_policy)
    if in_policy.findings:
        return None
    table = table_of(text, in_policy)
    if model is None:
        return None
    found = checked(table, model, in_policy)
    if request is not None:
        http_lint.check(model, request, found.rules, in_model, in_policy)
    if errors(in_model.findings) or errors(in_policy.findings):
        return None
    try:
        rules = rules_in_order(model, table, found.rules.rules, found.links.get("g", []))
    except RuntimeError as error:
        in_policy.error(0, "order", f"the rules cannot be put in order: {error}")
        return None
    drain(table.records, table.ptypes, table.texts, found.rules.rules, *found.links.values())
    return _engine(source, model, rules, found.graphs, in_model)


def _engine(
    source: Source, model: Model, rules: Rules, graphs: Mapping[str, RoleGraph], in_model: Report
) -> Engine:
    """The engine, compiled if its matcher is exact and a sample of its answers is pycasbin's."""
    matcher = analyse(model)
    decide = None if matcher.inexact else compiled(model, matcher, rules, graphs)
    reason = matcher.inexact
    if decide is not None:
        problem = disagreement(decide, matcher, Scan(model, rules, graphs), source.version)
        if problem:
            reason = f"the compiled matcher and pycasbin disagree: {problem}; this is a defect of gateledger"
    if reason:
        message = f"every request tries every rule, with pycasbin's evaluator: {reason}"
        in_model.warning(model.matcher_line, "fallback", message)
    return Engine(source, model, matcher, rules, graphs, None if reason else decide, reason)
