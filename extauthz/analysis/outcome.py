"""How the rules that match become answers, for many subjects at once.

The same rule of effects as the engine's: which rule decides is part of the answer. Sets of subjects
are whole numbers (people.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from extauthz.engine import reference

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from extauthz.engine import Engine


# Something allows, and nothing denies.
ALLOW_AND_DENY = reference.EFFECTS[2]


@dataclass(frozen=True, slots=True)
class Matching:
    """A rule, and for whom it matches."""

    rule: int
    allows: bool
    subjects: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """An answer, the rule that makes it (None: none does), and who gets it."""

    allowed: bool
    rule: int | None
    subjects: int


@dataclass(frozen=True, slots=True)
class Effects:
    """An engine's rule of effects. `empty`: it has no rule, and denies everything."""

    effect: str
    empty: bool

    @classmethod
    def of(cls, engine: Engine) -> Effects:
        return cls(engine.model.effect, not engine.rules)

    def outcomes(self, matching: Sequence[Matching], everyone: int) -> list[Outcome]:
        """What everyone gets: each subject is in exactly one outcome. `matching` in the order of the rules."""
        found: list[Outcome] = []
        left = everyone
        for one in self._deciding(matching):
            decided = one.subjects & left
            if decided:
                found.append(Outcome(one.allows, one.rule, decided))
                left &= ~decided
        if left:
            found.append(Outcome(self.default, None, left))
        return found

    @property
    def default(self) -> bool:
        """What is answered where no rule matches."""
        return self.effect == reference.DENY_OVERRIDE and not self.empty

    @property
    def ordered(self) -> bool:
        """Whether the order of the rules can change an answer (it may always change which rule makes it)."""
        return self.effect not in {reference.ALLOW_OVERRIDE, reference.DENY_OVERRIDE, ALLOW_AND_DENY}

    def _deciding(self, matching: Sequence[Matching]) -> Iterable[Matching]:
        """The matching rules in the order in which they decide: the first one that matches does."""
        allows = [one for one in matching if one.allows]
        if self.effect == reference.ALLOW_OVERRIDE:
            return allows
        if self.effect in {reference.DENY_OVERRIDE, ALLOW_AND_DENY}:
            # The first deny; else the last allow, since the engine has to look at all rules.
            return [*(one for one in matching if not one.allows), *reversed(allows)]
        return matching
