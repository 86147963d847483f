"""The requests that a set of boxes tells apart, without the subject: a tree of classes, value by value.

At each node one more value is divided, by the atoms of the boxes that can still match, so that
a part of the policy which has nothing to do with another is never combined with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from extauthz.analysis.atom import Atom, Box, Equal, Literal, Match, Role
from extauthz.analysis.classes import Class, classes, constants
from extauthz.analysis.domain import domain_of
from extauthz.analysis.unanswerable import Unanswerable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from extauthz.analysis.domain import Domain
    from extauthz.engine.model import Model

# Leaves of one tree: some seconds of work.
MAX_LEAVES = 300_000


@dataclass(frozen=True, slots=True)
class Leaf:
    """Requests that are alike to all boxes, but for the subject: their values, and the boxes that match."""

    values: Mapping[int, str]
    boxes: tuple[Box, ...]


@dataclass
class Space:
    """The request values of a model: `domains` in their order, the `subject` among them.

    `extra`: atoms that must be told apart beside those of the boxes, such as domains of roles.
    """

    domains: Sequence[Domain]
    subject: int
    extra: Sequence[Atom] = ()
    _known: dict[tuple[int, frozenset[Atom]], tuple[Class, ...]] = field(default_factory=dict)
    _leaves: int = 0

    def leaves(
        self, boxes: Sequence[Box], interesting: Callable[[tuple[Box, ...]], bool] = lambda _: True
    ) -> Iterator[Leaf]:
        """All leaves under nodes whose boxes are interesting. Raises Unanswerable when they are too many."""
        yield from self._divide({}, tuple(boxes), self._order(boxes), interesting)

    def _order(self, boxes: Sequence[Box]) -> tuple[int, ...]:
        """Values with few patterns first: they keep later ones from being combined."""
        patterns: dict[int, set[Atom]] = {at: set() for at in range(len(self.domains)) if at != self.subject}
        atoms: dict[int, set[Atom]] = {at: set() for at in patterns}
        for box in boxes:
            for literal in box.literals:
                at = literal.atom.at
                if at != self.subject:
                    atoms[at].add(literal.atom)
                    if isinstance(literal.atom, Match):
                        patterns[at].add(literal.atom)
        return tuple(sorted(patterns, key=lambda at: (len(patterns[at]), len(atoms[at]))))

    def _divide(
        self,
        values: dict[int, str],
        boxes: tuple[Box, ...],
        order: tuple[int, ...],
        interesting: Callable[[tuple[Box, ...]], bool],
    ) -> Iterator[Leaf]:
        if not interesting(boxes):
            return
        if not order:
            self._leaves += 1
            if self._leaves > MAX_LEAVES:
                raise Unanswerable(
                    f"these rules combine in more than {MAX_LEAVES:,} ways; ask about a part of the policy"
                )
            yield Leaf(values, boxes)
            return
        at = order[0]
        for found in self._classes(at, boxes):
            matching = tuple(box for box in boxes if satisfied(box.about(at), found.holding))
            yield from self._divide({**values, at: found.value}, matching, order[1:], interesting)

    def _classes(self, at: int, boxes: tuple[Box, ...]) -> tuple[Class, ...]:
        atoms = {literal.atom: None for box in boxes for literal in box.about(at)}
        atoms.update({atom: None for atom in self.extra if atom.at == at})
        key = (at, frozenset(atoms))
        if key not in self._known:
            self._known[key] = classes(self.domains[at], atoms)
        return self._known[key]


def satisfied(literals: Sequence[Literal], holding: frozenset[Atom]) -> bool:
    return all((literal.atom in holding) is literal.positive for literal in literals)


def space_of(model: Model, attributes: Sequence[str], boxes: Sequence[Box], roles_in: Iterable[str]) -> Space:
    """The space of a model's requests. `attributes`: what its values mean; `roles_in`: the roles' domains."""
    mentioned = mentioned_by(boxes)
    # What ipMatch is asked about has to be an address, whatever else it is: it fails on anything else.
    addresses = {
        literal.atom.at
        for box in boxes
        for literal in box.literals
        if isinstance(literal.atom, Match) and literal.atom.function == "ipMatch"
    }
    meanings = [
        "client_address" if at in addresses else meaning
        for at, meaning in enumerate(attributes or [""] * len(model.request))
    ]
    asked = {
        literal.atom.domain_at
        for box in boxes
        for literal in box.literals
        if isinstance(literal.atom, Role) and literal.atom.domain_at is not None
    }
    extra = [Equal(at, domain) for domain in dict.fromkeys(roles_in) for at in sorted(asked)]
    domains = [domain_of(meaning, at, mentioned) for at, meaning in enumerate(meanings)]
    return Space(domains, model.subject, extra)


def mentioned_by(boxes: Iterable[Box]) -> set[str]:
    """The texts that boxes hold values against."""
    return {text for box in boxes for literal in box.literals for text in _texts(literal.atom)}


def _texts(atom: Atom) -> Iterable[str]:
    return [atom.pattern] if isinstance(atom, Match) else constants([atom])
