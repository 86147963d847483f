"""The policy engine: one immutable policy, asked request by request.

Invariants:
- nothing is half-loaded: `from_files` gives an engine without errors, or raises with all findings;
- an engine never changes: a reload builds another one;
- a request's roles are rows of that request alone; no other request sees them;
- the answer, and the rule behind it, are pycasbin's for the same rows (tests/properties).
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from extauthz.engine import http_lint, reference
from extauthz.engine.finding import Finding, PolicyError, Report, errors
from extauthz.engine.lint import Column, checked
from extauthz.engine.model import Model, model_of
from extauthz.engine.roles import RequestRoles, RoleGraph
from extauthz.engine.rows import table_of
from extauthz.engine.rules import Rule, Rules, rules_in_order
from extauthz.engine.source import Source, read, text_of

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

Reason = Literal["rule_allow", "rule_deny", "no_matching_rule"]


class EnforceError(Exception):
    """A request that the policy cannot answer: a wrong number of values, or a matcher that fails on them."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The policy's answer. `rule` holds the deciding row's fields, `text` its line as written."""

    allowed: bool
    reason_code: Reason
    rule: tuple[str, ...] | None = None
    line: int | None = None
    text: str = ""


@dataclass(frozen=True)
class Engine:
    """One version of the policy."""

    source: Source
    model: Model
    rules: Rules
    graphs: Mapping[str, RoleGraph]
    # Warnings only.
    findings: tuple[Finding, ...] = ()
    mode: Literal["pycasbin"] = "pycasbin"

    @classmethod
    def from_files(
        cls,
        model_path: str | os.PathLike[str],
        policy_path: str | os.PathLike[str],
        request: Sequence[str] | None = None,
    ) -> Engine:
        """Load a model and a policy strictly. Raises PolicyError with all findings.

        `request` names the request attributes (subject, service, resource, action, …) in the order of the
        model's request_definition; without it the policy may be about anything.
        """
        return cls.from_source(read(model_path, policy_path), request)

    @classmethod
    def from_source(cls, source: Source, request: Sequence[str] | None = None) -> Engine:
        """As `from_files`, for texts that were read before."""
        engine, findings = load(source, request)
        if engine is None:
            raise PolicyError(findings)
        return engine

    @property
    def version(self) -> str:
        return self.source.version

    def enforce(self, *values: str, roles: Sequence[str] = ()) -> Verdict:
        """The answer for one request: values as the model's request_definition has them.

        `roles` act as extra g rows of the subject, for this request only. Raises EnforceError.
        """
        model = self.model
        if len(values) != len(model.request):
            wanted = ", ".join(model.request)
            raise EnforceError(f"{len(values)} values, the model's r wants {len(model.request)} ({wanted})")
        request = {f"r_{name}": value for name, value in zip(model.request, values, strict=True)}
        evaluate = reference.evaluator(model.matcher, self.functions(values[model.subject], roles))
        try:
            return self._fold(evaluate, request)
        except Exception as error:
            raise EnforceError(f"the matcher fails on this request: {error}") from error

    def functions(self, subject: str, roles: Sequence[str]) -> dict[str, Callable[..., Any]]:
        """What the matcher may call in one request."""
        functions = reference.matching_functions()
        for name, graph in self.graphs.items():
            extra = tuple(roles) if name == "g" else ()
            functions[name] = RequestRoles(graph, subject, extra).function()
        return functions

    def _fold(self, evaluate: Callable[[Mapping[str, Any]], object], request: Mapping[str, str]) -> Verdict:
        rule_of_effects = reference.EffectRule(self.model.effect)
        effects: set[int] = set()
        last: Rule | None = None
        for rule in self.rules:
            if not matches(evaluate({**request, **rule.names})):
                effects.add(reference.INDETERMINATE)
                continue
            effects.add(rule.effect)
            last = rule
            if rule_of_effects.decided(effects):
                break
        # Without a rule Casbin evaluates the matcher over empty fields and may allow; here that never allows.
        allowed = bool(self.rules) and rule_of_effects.allowed(effects)
        return _verdict(allowed, last, self.model.effect)


def load(source: Source, request: Sequence[str] | None = None) -> tuple[Engine | None, tuple[Finding, ...]]:
    """The engine (None when a finding is an error), and all findings about both files, in their order."""
    in_model = Report(source.model_path, [])
    in_policy = Report(source.policy_path, [])
    engine = _load(source, request, in_model, in_policy)
    lines = operator.attrgetter("line")
    found = (*sorted(in_model.findings, key=lines), *sorted(in_policy.findings, key=lines))
    return (None if errors(found) or engine is None else replace(engine, findings=found)), found


def _load(
    source: Source, request: Sequence[str] | None, in_model: Report, in_policy: Report
) -> Engine | None:
    text = text_of(source.model, in_model)
    model = None if in_model.findings else model_of(text, in_model)
    text = text_of(source.policy, in_policy)
    if in_policy.findings:
        return None
    table = table_of(text, in_policy)
    if model is None:
        return None
    found = checked(table, model, in_policy)
    if request is not None:
        http_lint.check(model, request, Column(table, found.rules), in_model, in_policy)
    if errors(in_model.findings) or errors(in_policy.findings):
        return None
    try:
        rules = rules_in_order(model, table, found.rules, found.links.get("g", []))
    except RuntimeError as error:
        in_policy.error(0, "order", f"the rules cannot be put in order: {error}")
        return None
    return Engine(source, model, rules, found.graphs)


def matches(result: object) -> bool:
    """What Casbin takes for a match. Raises TypeError for results that it refuses."""
    if isinstance(result, bool | float):
        return bool(result)
    raise TypeError(f"the matcher gives a {type(result).__name__}, not true or false")


def _verdict(allowed: bool, rule: Rule | None, effect: str) -> Verdict:
    """A verdict names the rule that decided; Casbin also names a deny that its effect never looked at."""
    if allowed:
        reason: Reason = "rule_allow"
    elif (
        rule is not None and rule.effect == reference.EFFECT_OF["deny"] and effect != reference.ALLOW_OVERRIDE
    ):
        reason = "rule_deny"
    else:
        return Verdict(allowed=False, reason_code="no_matching_rule")
    if rule is None:
        return Verdict(allowed=allowed, reason_code=reason)
    return Verdict(allowed, reason, rule.row.fields, rule.row.line, rule.row.text)
