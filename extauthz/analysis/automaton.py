"""All ways in which a set of patterns can match, each with its shortest example.

The patterns' automata run side by side over the texts of a domain; two texts that lead to the same
states will be matched alike whatever follows. Walking all reachable states breadth first finds
every combination of patterns that some text has, and none that no text has: nothing is sampled.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from extauthz.analysis.domain import OPEN
from extauthz.analysis.unanswerable import Unanswerable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from extauthz.analysis.domain import Domain
    from extauthz.analysis.nfa import Nfa

# States of one walk: some seconds of work, some hundred megabytes.
MAX_STATES = 200_000

States = frozenset[int]


def combinations(
    nfas: Sequence[Nfa], domain: Domain, examples: Iterable[str] = ()
) -> dict[frozenset[int], str]:
    """For each combination of automata that accept together, and no other with them: the shortest such text.

    Where one of the examples is such a text, it is taken instead.
    """
    union = _Union.of(nfas)
    found = _Walk(union, domain).combinations()
    shown: dict[frozenset[int], str] = {}
    for example in examples:
        shown.setdefault(union.of_text(example, domain), example)
    return {accepted: shown.get(accepted, text) for accepted, text in found.items()}


@dataclass(frozen=True, slots=True)
class _Union:
    """Several automata as one, whose accepting states remember the automaton."""

    start: States
    moves: tuple[tuple[tuple[int, States], ...], ...]
    owner: dict[int, int]

    @classmethod
    def of(cls, nfas: Sequence[Nfa]) -> _Union:
        start: set[int] = set()
        moves: list[tuple[tuple[int, States], ...]] = []
        owner: dict[int, int] = {}
        for number, nfa in enumerate(nfas):
            base = len(moves)
            start.update(base + state for state in nfa.start)
            owner.update((base + state, number) for state in nfa.accepting)
            moves += [
                tuple((mask, frozenset(base + target for target in targets)) for mask, targets in steps)
                for steps in nfa.moves
            ]
        return cls(frozenset(start), tuple(moves), owner)

    def accepted(self, states: Iterable[int]) -> frozenset[int]:
        return frozenset(self.owner[state] for state in states if state in self.owner)

    def of_text(self, text: str, domain: Domain) -> frozenset[int]:
        """The automata that accept one text."""
        states: Iterable[int] = self.start
        for character in text:
            bit = domain.alphabet.one(character)
            states = {
                target
                for state in states
                for mask, targets in self.moves[state]
                if mask & bit
                for target in targets
            }
        return self.accepted(states)

    def steps(self, states: States, every: int) -> list[tuple[int, States]]:
        """Where each character leads: sets of characters, apart from one another, that lead to the same states."""
        by_mask: dict[int, set[int]] = {}
        for state in states:
            for mask, targets in self.moves[state]:
                by_mask.setdefault(mask, set()).update(targets)
        cells: list[tuple[int, States]] = [(every, frozenset())]
        for mask, reachable in by_mask.items():
            divided: list[tuple[int, States]] = []
            for cell, reached in cells:
                if cell & mask:
                    divided.append((cell & mask, reached.union(reachable)))
                if cell & ~mask:
                    divided.append((cell & ~mask, reached))
            cells = divided
        # Characters that people like first.
        return sorted(cells, key=lambda cell: cell[0] & -cell[0])


@dataclass(slots=True)
class _Walk:
    union: _Union
    domain: Domain
    # Each place (states, and the domain's own state) with the place before it and the character between.
    seen: dict[tuple[States, str], tuple[tuple[States, str] | None, str]] = field(default_factory=dict)

    def combinations(self) -> dict[frozenset[int], str]:
        found: dict[frozenset[int], str] = {}
        start = (self.union.start, self.domain.start)
        self.seen[start] = (None, "")
        queue = deque([(start, 0)])
        while queue:
            place, length = queue.popleft()
            if self.domain.final(place[1]):
                accepted = self.union.accepted(place[0])
                if accepted not in found:
                    found[accepted] = self._text(place)
            if length < self.domain.longest:
                for following in self._following(place):
                    queue.append((following, length + 1))
        return found

    def _following(self, place: tuple[States, str]) -> Iterator[tuple[States, str]]:
        cells = self.union.steps(place[0], self.domain.alphabet.all)
        # OPEN first: what can follow elsewhere can follow there, so other ways to the same states add nothing.
        for allowed, state in sorted(self.domain.steps(place[1]), key=lambda step: step[1] != OPEN):
            for cell, states in cells:
                following = (states, state)
                if not cell & allowed or following in self.seen or (states, OPEN) in self.seen:
                    continue
                if len(self.seen) >= MAX_STATES:
                    raise Unanswerable(
                        f"these patterns combine in more than {MAX_STATES:,} ways; ask about a part of the policy"
                    )
                self.seen[following] = (place, self.domain.alphabet.first(cell & allowed))
                yield following

    def _text(self, place: tuple[States, str]) -> str:
        text = []
        step: tuple[States, str] | None = place
        while step is not None:
            step, character = self.seen[step]
            text.append(character)
        return "".join(reversed(text))
