"""Texts of one segment, and where they lead automata from several places at once."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from extauthz.analysis.domain import OPEN
from extauthz.analysis.unanswerable import Unanswerable
from extauthz.analysis.union import MAX_STATES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from extauthz.analysis.domain import Domain
    from extauthz.analysis.union import States, Union

TOO_MANY = f"these patterns combine in more than {MAX_STATES:,} ways; ask about a part of the policy"


class Point(NamedTuple):
    """How far a text has led the automata, and the domain."""

    states: States
    domain: str


@dataclass(slots=True)
class Segments:
    """How texts without a slash lead the automata and the domain."""

    union: Union
    domain: Domain
    _steps: dict[Point, list[tuple[int, Point]]] = field(default_factory=dict)
    _work: int = 0

    def steps(self, point: Point) -> list[tuple[int, Point]]:
        """Where each character leads that the domain allows: sets of characters, a slash always by itself."""
        if point not in self._steps:
            slash = self.domain.alphabet.one("/")
            cells = self.union.steps(point.states, self.domain.alphabet.all)
            self._steps[point] = [
                (part, Point(states, state))
                for allowed, state in sorted(
                    self.domain.steps(point.domain), key=lambda step: step[1] != OPEN
                )
                for cell, states in cells
                for part in (cell & allowed & ~slash, cell & allowed & slash)
                if part
            ]
        return self._steps[point]

    def led(self, point: Point, text: str) -> Point | None:
        """Where a text leads; None where the domain does not allow it."""
        for character in text:
            bit = self.domain.alphabet.one(character)
            following = next((after for cell, after in self.steps(point) if cell & bit), None)
            if following is None:
                return None
            point = following
        return point

    def starts(self, point: Point, count: int) -> list[Point]:
        """All places in which a segment can begin, `count` segments after the one that begins here."""
        found = [point]
        for _ in range(count):
            found = self._next_starts(found)
        return found

    def _next_starts(self, starts: list[Point]) -> list[Point]:
        slash = self.domain.alphabet.one("/")
        seen = dict.fromkeys(starts)
        found: dict[Point, None] = {}
        pending = deque(starts)
        while pending:
            for cell, following in self.steps(pending.popleft()):
                if cell == slash:
                    found[following] = None
                elif following not in seen and following._replace(domain=OPEN) not in seen:
                    self._count(1)
                    seen[following] = None
                    pending.append(following)
        return list(found)

    def texts(self, points: tuple[Point, ...], most: int) -> list[str]:
        """For each way of leading from all of these points, the `most` shortest texts that lead so.

        All of them can stand at the first point.
        """
        ways: dict[object, list[str]] = {}
        visits: Counter[tuple[Point | None, ...]] = Counter()
        pending: deque[tuple[str, tuple[Point | None, ...]]] = deque([("", points)])
        while pending:
            text, reached = pending.popleft()
            same = ways.setdefault(tuple(map(self._outcome, reached)), [])
            if len(same) < most:
                same.append(text)
            for character, following in self._joint(reached, most):
                opened = tuple(point and point._replace(domain=OPEN) for point in following)
                # What is led alike goes on alike: as many are enough.
                if max(visits[following], visits[opened]) < most and len(text) < self.domain.longest:
                    self._count(len(points))
                    visits[following] += 1
                    pending.append((text + character, following))
        return [text for same in ways.values() for text in same]

    def _outcome(self, point: Point | None) -> object:
        """All that matters of where a segment has led: what a text is that ends here, and what a slash leads to."""
        if point is None:
            return None
        slash = self.domain.alphabet.one("/")
        accepted = self.union.accepted(point.states) if self.domain.final(point.domain) else None
        return accepted, next((after for cell, after in self.steps(point) if cell == slash), None)

    def _joint(
        self, points: tuple[Point | None, ...], most: int
    ) -> Iterator[tuple[str, tuple[Point | None, ...]]]:
        """Up to `most` characters for each way in which one leads from all points, and where it does."""
        slash = self.domain.alphabet.one("/")
        cells: list[tuple[int, tuple[Point | None, ...]]] = [(self.domain.alphabet.all & ~slash, ())]
        for number, point in enumerate(points):
            steps: list[tuple[int, Point | None]] = list(self.steps(point)) if point else []
            left = self.domain.alphabet.all & ~sum(cell for cell, _ in steps)
            # Where the first cannot go on there is no segment; where others cannot, it cannot come to stand.
            steps += [(left, None)] if number else []
            cells = [
                (common, (*before, after))
                for cell, before in cells
                for mask, after in steps
                if (common := cell & mask)
            ]
        for cell, following in sorted(cells, key=lambda one: one[0] & -one[0]):
            rest = cell
            for _ in range(most):
                if rest:
                    yield self.domain.alphabet.first(rest), following
                    rest &= rest - 1

    def _count(self, work: int) -> None:
        self._work += work
        if self._work > MAX_STATES:
            raise Unanswerable(TOO_MANY)
