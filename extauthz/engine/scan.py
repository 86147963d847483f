"""The visible fallback: every rule tried in its order, by pycasbin's own evaluator, functions and effectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from extauthz.engine import reference
from extauthz.engine.roles import RequestRoles

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from extauthz.engine.model import Model
    from extauthz.engine.roles import RoleGraph
    from extauthz.engine.rules import Rules


# The place of no rule.
NONE = -1


@dataclass(frozen=True, slots=True)
class Scan:
    """A policy that is scanned. Keeps nothing about requests."""

    model: Model
    rules: Rules
    graphs: Mapping[str, RoleGraph]

    def decide(self, values: Sequence[Any], roles: Sequence[str]) -> tuple[bool, int]:
        """Whether the request is allowed, and the place of the rule that matched last, or NONE.

        Raises whatever the matcher raises on these values.
        """
        rule_of_effects = reference.EffectRule(self.model.effect)
        evaluate = reference.evaluator(self.functions(values[self.model.subject], roles))
        names = dict(zip((f"r_{name}" for name in self.model.request), values, strict=True))
        fields = [f"p_{name}" for name in self.model.policy]
        effects: set[int] = set()
        last = NONE
        for place, rule in enumerate(self.rules.fields):
            names.update(zip(fields, rule, strict=True))
            if not matches(evaluate(self.rules.matcher(place), names)):
                effects.add(reference.INDETERMINATE)
                continue
            effects.add(self.rules.effect(place))
            last = place
            if rule_of_effects.decided(effects):
                break
        # Without a rule Casbin evaluates the matcher over empty fields and may allow; here that never allows.
        return bool(self.rules) and rule_of_effects.allowed(effects), last

    def functions(self, subject: str, roles: Sequence[str]) -> dict[str, Callable[..., Any]]:
        """What the matcher may call in one request."""
        functions = reference.matching_functions() | dict(self.model.vocabulary.extensions.functions)
        for name, graph in self.graphs.items():
            extra = tuple(roles) if name == "g" else ()
            functions[name] = RequestRoles(graph, subject, extra).function()
        return functions


def matches(result: object) -> bool:
    """What Casbin takes for a match. Raises TypeError for results that it refuses."""
    if isinstance(result, bool | float):
        return bool(result)
    raise TypeError(f"the matcher gives a {type(result).__name__}, not true or false")
