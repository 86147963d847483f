"""A policy made ready for questions: its boxes, the requests and the people that they tell apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from extauthz.analysis.atom import Box, Role
from extauthz.analysis.boxes import boxes_of
from extauthz.analysis.domain import domain_of
from extauthz.analysis.outcome import Effects, Matching
from extauthz.analysis.people import Held, People, people_of
from extauthz.analysis.space import Space, mentioned_by, space_of
from extauthz.analysis.unanswerable import Unanswerable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from extauthz.engine import Engine


@dataclass(frozen=True)
class Side:
    """One engine with its boxes, and who satisfies what they ask of the subject."""

    engine: Engine
    boxes: tuple[Box, ...]
    effects: Effects
    held: Held

    def matching(
        self, boxes: Iterable[Box], everyone: int, brought: int = 0, domain: str = ""
    ) -> list[Matching]:
        """For whom each rule of these boxes matches, when the token brings the roles `brought`."""
        found: dict[int, Matching] = {}
        for box in boxes:
            subjects = self.satisfying(box, everyone, brought, domain)
            before = found[box.rule].subjects if box.rule in found else 0
            if subjects | before:
                found[box.rule] = Matching(box.rule, box.allows, subjects | before)
        return [found[rule] for rule in sorted(found)]

    def satisfying(self, box: Box, everyone: int, brought: int, domain: str) -> int:
        """Who satisfies what a box asks of the subject."""
        subjects = everyone
        for literal in box.about(self.engine.model.subject):
            holding = self.held.subjects(literal.atom, domain)
            if brought and self.held.roles(literal.atom, domain) & brought:
                holding = everyone
            subjects &= holding if literal.positive else ~holding
        return subjects


@dataclass(frozen=True)
class Asked:
    """One policy, or two that are compared, over the same requests."""

    sides: tuple[Side, ...]
    attributes: tuple[str, ...]
    space: Space
    people: People

    @property
    def subject(self) -> int:
        return self.space.subject

    def request(self, values: Mapping[int, str], subject: str) -> tuple[str, ...]:
        """A request in the order of the model."""
        return tuple(subject if at == self.subject else values[at] for at in range(len(self.space.domains)))

    def domain(self, boxes: Iterable[Box], values: Mapping[int, str]) -> str:
        """The domain in which these boxes ask for roles, of those that the request gives."""
        for box in boxes:
            for literal in box.about(self.subject):
                if isinstance(literal.atom, Role) and literal.atom.domain_at is not None:
                    return values[literal.atom.domain_at]
        return ""


def asked_of(engines: Sequence[Engine], attributes: tuple[str, ...]) -> Asked:
    """The engines, made ready. `attributes`: what their request values mean, or nothing. Raises Unanswerable."""
    model = engines[0].model
    for engine in engines[1:]:
        if engine.model.request != model.request or engine.model.subject != model.subject:
            raise Unanswerable("the two models have different requests")
    boxes = [_distinct_domains(boxes_of(engine)) for engine in engines]
    every = [box for some in boxes for box in some]
    space = space_of(model, attributes, every, _domains(engines))
    domain = domain_of(attributes[model.subject] if attributes else "", model.subject, mentioned_by(every))
    people = people_of(engines, every, domain, http=bool(attributes))
    sides = tuple(
        Side(engine, some, Effects.of(engine), Held(engine, people))
        for engine, some in zip(engines, boxes, strict=True)
    )
    return Asked(sides, attributes, space, people)


def _distinct_domains(boxes: tuple[Box, ...]) -> tuple[Box, ...]:
    asked = {
        literal.atom.domain_at
        for box in boxes
        for literal in box.literals
        if isinstance(literal.atom, Role) and literal.atom.domain_at is not None
    }
    if len(asked) > 1:
        raise Unanswerable("the matcher asks for roles in more than one domain of the request")
    return boxes


def _domains(engines: Iterable[Engine]) -> Iterator[str]:
    for engine in engines:
        for graph in engine.graphs.values():
            yield from graph.domains
