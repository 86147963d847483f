"""Who may do one thing: every subject that the policy names, the roles that let others in, and who anyone is."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from access import readings
from access.subject import ANONYMOUS_NAME
from extauthz.analysis.atom import Box, Role
from extauthz.analysis.classes import holds
from extauthz.analysis.question import Asked, asked_of
from extauthz.engine.roles import RequestRoles

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from extauthz.engine import Engine
    from extauthz.engine.rows import Row


class Kind(enum.StrEnum):
    """What a row of the answer stands for."""

    SUBJECT = "subject"
    # Whoever comes without credentials.
    ANONYMOUS = "anonymous"
    # A subject that the policy does not name.
    ANYONE = "anyone"
    # Such a subject, whose token brings a role.
    ROLE = "role"


@dataclass(frozen=True, slots=True)
class Holder:
    """Someone who may. `unless`: token roles that would take it away."""

    kind: Kind
    name: str
    row: Row | None
    role_path: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()


def who_can(engine: Engine, values: Sequence[str], attributes: tuple[str, ...]) -> tuple[Holder, ...]:
    """Everyone who may do the request `values` (all but the subject, in the model's order). Raises Unanswerable.

    A path that upstreams read in two ways is allowed only if both readings are.
    """
    asked = asked_of([engine], attributes)
    subject = engine.model.subject
    requests = [
        {at: value for at, value in enumerate([*reading[:subject], "", *reading[subject:]]) if at != subject}
        for reading in _readings(values, attributes, subject)
    ]
    return tuple(_Answer(asked, requests).holders())


def _readings(values: Sequence[str], attributes: tuple[str, ...], subject: int) -> list[tuple[str, ...]]:
    others = [meaning for at, meaning in enumerate(attributes) if at != subject]
    if "resource" not in others:
        return [tuple(values)]
    at = others.index("resource")
    return [(*values[:at], reading, *values[at + 1 :]) for reading in readings(values[at])]


Decided = dict[int, int | None]


class _Answer:
    def __init__(self, asked: Asked, requests: list[dict[int, str]]) -> None:
        self.asked = asked
        self.requests = requests
        side = asked.sides[0]
        self.boxes = [
            [box for box in side.boxes if _matches(box, request, asked.subject)] for request in requests
        ]
        self._hits = [
            side.held.roles(literal.atom, asked.domain(boxes, request))
            for boxes, request in zip(self.boxes, requests, strict=True)
            for box in boxes
            for literal in box.about(asked.subject)
        ]
        # What token roles come to, by the conditions that they make hold: many roles are alike in that.
        self._known: dict[tuple[bool, ...], Decided] = {}

    def holders(self) -> Iterator[Holder]:
        people = self.asked.people
        alone = self._allowed(0)
        for at, rule in alone.items():
            unless = self._taken(at, 0) if people.verified >> at & 1 else ()
            yield self._holder(self._kind(at), people.names[at], (), rule, unless)
        strangers = [at for at in range(len(people.names)) if people.strangers >> at & 1]
        for number in self._telling():
            with_role = self._allowed(1 << number)
            for at in strangers:
                if at in with_role and at not in alone:
                    roles = (people.roles[number],)
                    unless = self._taken(at, 1 << number)
                    yield self._holder(Kind.ROLE, people.names[at], roles, with_role[at], unless)

    def _telling(self) -> list[int]:
        """The roles that make a difference to any rule here."""
        some = 0
        for hit in self._hits:
            some |= hit
        return list(_numbers(some))

    def _kind(self, at: int) -> Kind:
        people = self.asked.people
        if people.strangers >> at & 1:
            return Kind.ANYONE
        return Kind.ANONYMOUS if people.http and people.names[at] == ANONYMOUS_NAME else Kind.SUBJECT

    def _allowed(self, brought: int) -> Decided:
        """The subjects that are allowed, with the rule that lets them in, when a token brings these roles."""
        key = (brought > 0, *(hit & brought > 0 for hit in self._hits))
        if key not in self._known:
            self._known[key] = self._decided(brought)
        return self._known[key]

    def _decided(self, brought: int) -> Decided:
        side = self.asked.sides[0]
        everyone = left = self.asked.people.verified if brought else self.asked.people.everyone
        rules: Decided = {}
        for boxes, request in zip(self.boxes, self.requests, strict=True):
            matching = side.matching(boxes, everyone, brought, self.asked.domain(boxes, request))
            allowed = [one for one in side.effects.outcomes(matching, everyone) if one.allowed]
            left &= sum(one.subjects for one in allowed)
            rules = {at: one.rule for one in allowed for at in _numbers(one.subjects & left)}
        return dict(sorted(rules.items()))

    def _taken(self, at: int, brought: int) -> tuple[str, ...]:
        """The roles that would take a right away from a subject with the roles `brought`."""
        return tuple(
            self.asked.people.roles[number]
            for number in self._telling()
            if at not in self._allowed(brought | 1 << number)
        )

    def _holder(
        self, kind: Kind, name: str, roles: tuple[str, ...], rule: int | None, unless: tuple[str, ...]
    ) -> Holder:
        engine = self.asked.sides[0].engine
        row = None if rule is None else engine.rules[rule].row
        path = () if rule is None else self._path(name, roles, rule)
        people = self.asked.people
        if kind is Kind.ROLE:
            return Holder(kind, roles[0], row, path[1:], unless)
        if kind is Kind.ANYONE:
            return Holder(kind, " and ".join(people.patterns.get(name, ())), row, path[1:], unless)
        return Holder(kind, name, row, path, unless)

    def _path(self, name: str, roles: tuple[str, ...], rule: int) -> tuple[str, ...]:
        side = self.asked.sides[0]
        for box in (box for box in self.boxes[-1] if box.rule == rule):
            for literal in box.about(self.asked.subject):
                atom = literal.atom
                if isinstance(atom, Role) and atom.graph == "g" and literal.positive:
                    held = RequestRoles(
                        side.engine.graphs["g"], name, (*self.asked.people.implied(name), *roles)
                    )
                    domain = atom.domain if atom.domain_at is None else self.requests[-1][atom.domain_at]
                    path = held.path(name, atom.role, domain)
                    if path:
                        return path
        return ()


def _matches(box: Box, request: dict[int, str], subject: int) -> bool:
    return all(
        holds(literal.atom, request[literal.atom.at]) is literal.positive
        for literal in box.literals
        if literal.atom.at != subject
    )


def _numbers(subjects: int) -> Iterator[int]:
    while subjects:
        lowest = subjects & -subjects
        yield lowest.bit_length() - 1
        subjects ^= lowest
