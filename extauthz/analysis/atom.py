"""What a rule asks of one request value: the smallest parts of a matcher, with the rule's fields filled in."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Equal:
    """Request value number `at` is `value`."""

    at: int
    value: str


@dataclass(frozen=True, slots=True)
class Among:
    """Request value number `at` is one of `values`."""

    at: int
    values: frozenset[str]


@dataclass(frozen=True, slots=True)
class Match:
    """Request value number `at` is matched by `pattern` under one of Casbin's functions."""

    at: int
    function: str
    pattern: str


@dataclass(frozen=True, slots=True)
class Role:
    """Request value number `at` (the subject) has `role`, in the domain `domain` or in the one of the request."""

    at: int
    graph: str
    role: str
    domain: str = ""
    domain_at: int | None = None


Atom = Equal | Among | Match | Role


@dataclass(frozen=True, slots=True)
class Literal:
    """An atom that has to hold, or (not `positive`) has to fail."""

    atom: Atom
    positive: bool = True


@dataclass(frozen=True, slots=True)
class Box:
    """Requests that one rule matches: those that satisfy all literals. A rule is the union of its boxes.

    `rule` is the rule's place in the order in which the engine tries them, `allows` its effect.
    """

    rule: int
    allows: bool
    literals: tuple[Literal, ...]
    # The literals by the request value that they are about, for those who ask again and again.
    by_value: dict[int, tuple[Literal, ...]] = field(compare=False, repr=False, default_factory=dict)

    @classmethod
    def of(cls, rule: int, allows: bool, literals: tuple[Literal, ...]) -> Box:
        by_value: dict[int, tuple[Literal, ...]] = {}
        for literal in literals:
            at = literal.atom.at
            by_value[at] = (*by_value.get(at, ()), literal)
        return cls(rule, allows, literals, by_value)

    def about(self, at: int) -> tuple[Literal, ...]:
        return self.by_value.get(at, ())
