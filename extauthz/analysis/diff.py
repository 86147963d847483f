"""What a change of policy changes: every way in which an answer becomes another, with a request that shows it.

Two requests change in the same way if the same old rule and the same new rule decide them. For each
way there is one witness, so the list is complete and as short as the rules allow.

How many roles a token has to bring to show a change is known: an answer rests on one rule, a rule
on as many roles as its matcher asks for; what other roles bring can only decide earlier, or not at all.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from extauthz.analysis.atom import Box, Role
from extauthz.analysis.question import Asked, asked_of
from extauthz.analysis.unanswerable import Unanswerable
from extauthz.analysis.witness import confirm_rule

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from extauthz.analysis.space import Leaf
    from extauthz.engine import Engine
    from extauthz.engine.rows import Row

# Combinations of token roles at one leaf.
MAX_COMBINATIONS = 20_000


@dataclass(frozen=True, slots=True)
class Decision:
    """One policy's answer, and the rule that makes it."""

    allowed: bool
    row: Row | None


@dataclass(frozen=True, slots=True)
class Change:
    """One way in which answers change. `roles` are those that the witness's token brings.

    `subjects`: the named ones who see it when they bring no other roles than the witness; `anyone`: so do
    those without a name in the policy; `by_role`: token roles by which such ones come to see it.
    """

    old: Decision
    new: Decision
    witness: tuple[str, ...]
    roles: tuple[str, ...]
    subjects: tuple[str, ...]
    anyone: bool
    by_role: tuple[str, ...]


def diff(old: Engine, new: Engine, attributes: tuple[str, ...]) -> tuple[Change, ...]:
    """All changes from the old policy to the new one. Raises Unanswerable."""
    asked = asked_of([old, new], attributes)
    found = tuple(_Diff(asked).changes())
    for change in found:
        roles = (*asked.people.implied(change.witness[asked.subject]), *change.roles)
        confirm_rule(old, change.witness, roles, change.old.row, allowed=change.old.allowed)
        confirm_rule(new, change.witness, roles, change.new.row, allowed=change.new.allowed)
    return found


Key = tuple[bool, int | None, int | None]


@dataclass(slots=True)
class _Seen:
    witness: tuple[str, ...]
    brought: int
    subjects: int = 0
    roles: int = 0


class _Diff:
    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        old, new = asked.sides
        # The new side's rules are counted behind the old side's, so that one tree divides both.
        self._offset = len(old.engine.rules)
        self._boxes = [*old.boxes, *(_moved(box, self._offset) for box in new.boxes)]
        self._same_effects = old.effects == new.effects
        self._same_graphs = dict(old.engine.graphs) == dict(new.engine.graphs)
        self._kinds = self._numbered()
        self._groups: dict[int, int] = {}
        self._found: dict[Key, _Seen] = {}

    def changes(self) -> Iterator[Change]:
        for leaf in self.asked.space.leaves(self._boxes, self._interesting):
            self._compare(leaf)
        for key, seen in sorted(self._found.items(), key=lambda item: _place(item[0])):
            yield self._change(key, seen)

    def _numbered(self) -> dict[int, int]:
        """A number for each box (by its id): the same for boxes that ask the same of the same people."""
        kinds: dict[object, int] = {}
        return {id(box): kinds.setdefault(self._kind(box), len(kinds)) for box in self._boxes}

    def _kind(self, box: Box) -> object:
        which = self._is_new(box)
        held = self.asked.sides[which].held
        others = tuple(literal for literal in box.literals if literal.atom.at != self.asked.subject)
        people: list[object] = []
        for literal in box.about(self.asked.subject):
            atom = literal.atom
            if isinstance(atom, Role) and atom.domain_at is not None:
                people.append((literal, None if self._same_graphs else which))
            else:
                people.append((literal.positive, held.subjects(atom), held.roles(atom)))
        return box.allows, others, tuple(people)

    def _is_new(self, box: Box) -> bool:
        return box.rule >= self._offset

    def _interesting(self, boxes: tuple[Box, ...]) -> bool:
        """Whether the two sides can still answer differently."""
        if not self._same_effects:
            return True
        old = [self._kinds[id(box)] for box in boxes if not self._is_new(box)]
        new = [self._kinds[id(box)] for box in boxes if self._is_new(box)]
        return old != new if self.asked.sides[0].effects.ordered else set(old) != set(new)

    def _compare(self, leaf: Leaf) -> None:
        boxes = [[box for box in leaf.boxes if self._is_new(box) is which] for which in (False, True)]
        domain = self.asked.domain(leaf.boxes, leaf.values)
        people = self.asked.people
        for brought in self._combinations(leaf, domain):
            everyone = people.verified if brought else people.everyone
            before, after = (
                side.effects.outcomes(side.matching(some, everyone, brought, domain), everyone)
                for side, some in zip(self.asked.sides, boxes, strict=True)
            )
            for one, other in itertools.product(before, after):
                changed = one.subjects & other.subjects
                if one.allowed is not other.allowed and changed:
                    self._note(leaf, brought, (one.allowed, one.rule, other.rule), changed)

    def _note(self, leaf: Leaf, brought: int, key: Key, changed: int) -> None:
        people = self.asked.people
        seen = self._found.get(key)
        if seen is None or (seen.brought and not brought):
            # Someone real where it needs no token's roles, else someone who has nothing but those.
            likely = (changed & people.strangers if brought else changed & ~people.strangers) or changed
            witness = self.asked.request(leaf.values, people.names[(likely & -likely).bit_length() - 1])
            seen = _Seen(witness, brought, *((seen.subjects, seen.roles) if seen else (0, 0)))
            self._found[key] = seen
        if not brought:
            seen.subjects |= changed
        elif changed & people.strangers:
            seen.roles |= self._groups.get(brought, 0)
        elif brought == seen.brought:
            seen.subjects |= changed

    def _combinations(self, leaf: Leaf, domain: str) -> Iterator[int]:
        """No role, then all sets of as many as may be needed; of roles that nothing here tells apart, one."""
        yield 0
        asks: dict[bool, int] = {False: 0, True: 0}
        hits: dict[int, None] = {}
        for box in leaf.boxes:
            which = self._is_new(box)
            held = self.asked.sides[which].held
            some = [held.roles(literal.atom, domain) for literal in box.about(self.asked.subject)]
            asks[which] = max(asks[which], sum(hit > 0 for hit in some))
            hits.update((hit, None) for hit in some if hit)
        self._groups = {group & -group: group for group in _apart(list(hits))}
        sizes = range(1, sum(asks.values()) + 1)
        sets = itertools.chain.from_iterable(itertools.combinations(self._groups, size) for size in sizes)
        for count, chosen in enumerate(sets):
            if count >= MAX_COMBINATIONS:
                raise Unanswerable("too many roles meet in one request; ask about a part of the policy")
            yield sum(chosen)

    def _change(self, key: Key, seen: _Seen) -> Change:
        people = self.asked.people
        allowed, old, new = key
        return Change(
            old=self._decision(0, allowed, old),
            new=self._decision(1, not allowed, None if new is None else new - self._offset),
            witness=seen.witness,
            roles=tuple(people.brought(seen.brought)),
            subjects=tuple(people.named(seen.subjects & ~people.strangers)),
            anyone=bool(seen.subjects & people.strangers),
            by_role=tuple(people.brought(seen.roles)),
        )

    def _decision(self, which: int, allowed: bool, rule: int | None) -> Decision:
        engine = self.asked.sides[which].engine
        return Decision(allowed, None if rule is None else engine.rules[rule].row)


def _moved(box: Box, by: int) -> Box:
    return Box(box.rule + by, box.allows, box.literals, box.by_value)


def _place(key: Key) -> tuple[int, int, int]:
    allowed, old, new = key
    return (-1 if new is None else new, -1 if old is None else old, allowed)


def _apart(hits: Sequence[int]) -> list[int]:
    """Roles in groups of which no hit tells two apart; those that no hit has are left out."""
    groups: list[int] = []
    for hit in hits:
        left = hit
        divided = []
        for group in groups:
            left &= ~group
            divided += [part for part in (group & hit, group & ~hit) if part]
        groups = divided + ([left] if left else [])
    return groups
