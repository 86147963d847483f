"""All that a subject may do: the regions that allowing rules open to it, each without those that rules close.

A request is allowed exactly if it lies in some region's conditions and in none of its exceptions.
Regions in which nothing is left are not listed, nor exceptions that take nothing from their region.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from extauthz.analysis.atom import Among, Atom, Box, Equal, Literal, Match, Role
from extauthz.analysis.boxes import boxes_of
from extauthz.analysis.classes import constants, holds
from extauthz.analysis.outcome import ALLOW_AND_DENY
from extauthz.analysis.space import space_of
from extauthz.analysis.witness import confirm
from extauthz.engine import reference
from extauthz.engine.roles import RequestRoles

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from extauthz.analysis.space import Leaf, Space
    from extauthz.engine import Engine
    from extauthz.engine.rows import Row

ANY = "*"


@dataclass(frozen=True, slots=True)
class Region:
    """Requests, by what each value (all but the subject) must be: a text, a pattern, "*" for anything."""

    conditions: tuple[str, ...]
    row: Row | None


@dataclass(frozen=True, slots=True)
class Right:
    """A region that is open, but for its exceptions, with the simplest request that is allowed there."""

    region: Region
    exceptions: tuple[Region, ...]
    witness: tuple[str, ...]


@dataclass(slots=True)
class _Open:
    """A region while the leaves are walked: None stands for all requests."""

    box: Box | None
    witness: tuple[str, ...] = ()
    exceptions: dict[Box, None] = field(default_factory=dict)


def what_can(
    engine: Engine, subject: str, roles: Sequence[str], attributes: tuple[str, ...]
) -> tuple[Right, ...]:
    """The rights of a subject whose requests carry `roles`. Raises Unanswerable."""
    own = _Own(engine, subject, tuple(roles))
    boxes = tuple(box for box in map(own.reduced, boxes_of(engine)) if box is not None)
    space = space_of(engine.model, attributes, boxes, ())
    rights = tuple(_Answer(engine, space, boxes, subject).rights())
    for right in rights:
        confirm(engine, right.witness, roles, allowed=True)
    return rights


@dataclass(frozen=True, slots=True)
class _Own:
    engine: Engine
    subject: str
    roles: tuple[str, ...]

    def reduced(self, box: Box) -> Box | None:
        """A box without the subject; None where it is not about this one."""
        literals = []
        for literal in box.literals:
            atom = self._about(literal.atom)
            if not isinstance(atom, bool):
                literals.append(Literal(atom, literal.positive))
            elif atom is not literal.positive:
                return None
        return Box.of(box.rule, box.allows, tuple(literals))

    def _about(self, atom: Atom) -> Atom | bool:
        if atom.at != self.engine.model.subject:
            return atom
        if not isinstance(atom, Role):
            return holds(atom, self.subject)
        held = RequestRoles(
            self.engine.graphs[atom.graph], self.subject, self.roles if atom.graph == "g" else ()
        )
        if atom.domain_at is None:
            return atom.role in held.reached(self.subject, atom.domain)
        if atom.role in held.reached(self.subject, _NOWHERE):
            return True
        inside = (domain for domain in held.graph.domains if atom.role in held.reached(self.subject, domain))
        return Among(atom.domain_at, frozenset(inside))


@dataclass(slots=True)
class _Answer:
    engine: Engine
    space: Space
    boxes: tuple[Box, ...]
    subject: str

    def rights(self) -> Iterator[Right]:
        effect = self.engine.model.effect
        if effect == reference.DENY_OVERRIDE:
            regions = [_Open(None)] if self.engine.rules else []
        else:
            regions = [_Open(box) for box in self.boxes if box.allows]
        of_box = {region.box: region for region in regions}
        for leaf in self.space.leaves(self.boxes):
            denies = [box for box in leaf.boxes if not box.allows]
            for box in [None, *leaf.boxes]:
                if box in of_box:
                    self._enter(of_box[box], leaf, [deny for deny in denies if _takes(effect, deny, box)])
        for region in regions:
            if region.witness:
                exceptions = tuple(self._region(box) for box in region.exceptions)
                yield Right(self._region(region.box), exceptions, region.witness)

    def _enter(self, region: _Open, leaf: Leaf, denies: Sequence[Box]) -> None:
        region.exceptions.update(dict.fromkeys(denies))
        if not denies and not region.witness:
            places = range(len(self.space.domains))
            subject = self.space.subject
            region.witness = tuple(self.subject if at == subject else leaf.values[at] for at in places)

    def _region(self, box: Box | None) -> Region:
        others = [at for at in range(len(self.space.domains)) if at != self.space.subject]
        if box is None:
            return Region((ANY,) * len(others), None)
        return Region(tuple(_shown(box.about(at)) for at in others), self.engine.rules[box.rule].row)


# No row is in this domain.
_NOWHERE = "\0"


def _takes(effect: str, deny: Box, allow: Box | None) -> bool:
    """Whether a deny counts against an allow that matches the same request."""
    if effect == reference.ALLOW_OVERRIDE:
        return False
    if allow is None or effect == ALLOW_AND_DENY:
        return True
    return deny.rule < allow.rule


def _shown(literals: Sequence[Literal]) -> str:
    return " and ".join(_text(literal) for literal in literals) or ANY


def _text(literal: Literal) -> str:
    atom = literal.atom
    text = atom.pattern if isinstance(atom, Match) else "|".join(constants([atom]))
    if isinstance(atom, Equal) and (text == ANY or " " in text or "|" in text):
        # What would be read as something else.
        text = f"== {text}"
    return text if literal.positive else f"not {text}"
