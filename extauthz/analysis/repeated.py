"""All ways in which patterns can match of which some ask that segments of a text are equal: /a/{id}/b/{id}.

Equal segments are no regular language. But few texts of a segment are enough to stand for all:

- A segment that is compared matters only by where its text leads all automata, here and from wherever a later compared
  segment can begin; and by which other compared segments it is equal to.
- For each way of leading the automata (there are finitely many, found by running them side by side from all
  these places), as many of the shortest texts are kept as there are compared segments. Where fewer exist, all are.
- So in any text each compared segment can be exchanged for a kept one, equal ones for equal ones and unequal
  ones for unequal ones, and no automaton nor comparison tells the difference (docs/design/policy-questions.md).

The walk therefore goes character by character as any other (automaton.py), and over compared segments in steps of
kept texts. It remembers those that are still to be compared. An automaton whose segments are not equal leaves the walk.
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from extauthz.analysis.domain import OPEN
from extauthz.analysis.segment import TOO_MANY, Point, Segments
from extauthz.analysis.unanswerable import Unanswerable
from extauthz.analysis.union import MAX_STATES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from extauthz.analysis.domain import Domain
    from extauthz.analysis.pattern import Pairs
    from extauthz.analysis.union import Union

# The number of a segment behind all that are compared.
_BEHIND = -1


@dataclass(frozen=True, slots=True)
class Repetitions:
    """Which segments have to be equal, by the number of the automaton that asks it."""

    pairs: Mapping[int, Pairs]

    def kept(self, accepted: frozenset[int], text: str) -> frozenset[int]:
        """Of the automata that accept a text those whose segments are equal."""
        segments = text.split("/")
        return frozenset(
            number
            for number in accepted
            if all(segments[one] == segments[other] for one, other in self.pairs.get(number, ()))
        )

    def unequal(self, at: int, text: str, values: Mapping[int, str]) -> set[int]:
        """The automata that this text as segment `at` is not right for."""
        return {
            number
            for number, pairs in self.pairs.items()
            for one, other in pairs
            if other == at and values.get(one) != text
        }

    def compared(self, numbers: Collection[int]) -> set[int]:
        """The segments that these automata compare."""
        return {at for number in numbers for pair in self.pairs.get(number, ()) for at in pair}

    def comparing(self, at: int, numbers: Collection[int]) -> set[int]:
        """Those of these automata that compare segment `at`."""
        return {number for number in numbers if at in self.compared([number])}

    def is_needed(self, at: int, since: int, numbers: Collection[int]) -> bool:
        """Whether one of these automata compares segment `at` with one from `since` on."""
        pairs = (pair for number in numbers for pair in self.pairs.get(number, ()))
        return any(one == at and other >= since for one, other in pairs)


class _Place(NamedTuple):
    """A point within segment number `segment`; the texts of earlier ones that are still to be compared.

    `over`: the segment was chosen as a whole, and has no more characters.
    """

    point: Point
    segment: int
    values: tuple[tuple[int, str], ...] = ()
    over: bool = False


def walked(union: Union, domain: Domain, repetitions: Repetitions) -> dict[frozenset[int], str]:
    """The combinations of automata that accept together, each with its shortest text. Raises Unanswerable."""
    return _Walk(union, domain, repetitions, Segments(union, domain)).combinations()


@dataclass(slots=True)
class _Walk:
    union: Union
    domain: Domain
    repetitions: Repetitions
    segments: Segments
    # Each place with the one before it, and the text between.
    seen: dict[_Place, tuple[_Place | None, str]] = field(default_factory=dict)
    _chosen: dict[tuple[Point, int], list[str]] = field(default_factory=dict)

    def combinations(self) -> dict[frozenset[int], str]:
        found: dict[frozenset[int], str] = {}
        order = itertools.count()
        start = self._place(Point(self.union.start, self.domain.start), 0, {})
        queue: list[tuple[int, int, _Place, _Place | None, str]] = [(0, next(order), start, None, "")]
        while queue:
            length, _, place, before, text = heapq.heappop(queue)
            if place in self.seen or self._open(place) in self.seen:
                continue
            if len(self.seen) >= MAX_STATES:
                raise Unanswerable(TOO_MANY)
            self.seen[place] = (before, text)
            if self.domain.final(place.point.domain):
                accepted = self.union.accepted(place.point.states)
                if accepted not in found:
                    found[accepted] = self._text(place)
            for more, following in self._following(place):
                if length + len(more) <= self.domain.longest:
                    entry = (length + len(more), next(order), following, place, more)
                    heapq.heappush(queue, entry)
        return found

    def _place(self, point: Point, segment: int, values: Mapping[int, str], *, over: bool = False) -> _Place:
        """A place without what nobody asks about any more."""
        compared = self.repetitions.compared(self.union.alive(point.states))
        if max(compared, default=_BEHIND) < segment + over:
            return _Place(point, _BEHIND, (), over)
        alive = self.union.alive(point.states)
        kept = tuple(
            (at, value)
            for at, value in sorted(values.items())
            if self.repetitions.is_needed(at, segment + over, alive)
        )
        return _Place(point, segment, kept, over)

    def _following(self, place: _Place) -> Iterator[tuple[str, _Place]]:
        compared = self.repetitions.compared(self.union.alive(place.point.states))
        if place.segment in compared and not place.over:
            yield from self._whole(place)
            return
        for characters, point in self.segments.steps(place.point):
            character = self.domain.alphabet.first(characters)
            if character != "/" and not place.over:
                yield character, place._replace(point=point)
            elif character == "/":
                segment = place.segment if place.segment == _BEHIND else place.segment + 1
                yield character, self._place(point, segment, dict(place.values))

    def _whole(self, place: _Place) -> Iterator[tuple[str, _Place]]:
        """All that a segment which is compared may be, as far as it matters."""
        at, values = place.segment, dict(place.values)
        for text in dict.fromkeys((*self._texts(place), *values.values())):
            point = self.segments.led(place.point, text)
            if point is not None:
                states = self.union.without(point.states, self.repetitions.unequal(at, text, values))
                yield text, self._place(point._replace(states=states), at, {**values, at: text}, over=True)

    def _texts(self, place: _Place) -> list[str]:
        key = (place.point, place.segment)
        if key not in self._chosen:
            alive = self.union.alive(place.point.states)
            compared = self.repetitions.compared(alive)
            points = [place.point]
            # Also where it is not compared with this one: both may have to equal a third.
            for other in sorted(at for at in compared if at > place.segment):
                numbers = self.repetitions.comparing(other, alive)
                starts = self.segments.starts(place.point, other - place.segment)
                points += [one for one in starts if not numbers.isdisjoint(self.union.alive(one.states))]
            self._chosen[key] = self.segments.texts(tuple(dict.fromkeys(points)), len(compared))
        return self._chosen[key]

    def _open(self, place: _Place) -> _Place:
        """The place from which everything can follow that can follow from this one."""
        return place._replace(point=place.point._replace(domain=OPEN))

    def _text(self, place: _Place) -> str:
        text = []
        step: _Place | None = place
        while step is not None:
            step, more = self.seen[step]
            text.append(more)
        return "".join(reversed(text))
