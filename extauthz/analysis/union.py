"""Several automata that run side by side over one text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from extauthz.analysis.domain import Domain
    from extauthz.analysis.nfa import Nfa

# States of one walk: some seconds of work, some hundred megabytes.
MAX_STATES = 200_000

States = frozenset[int]


@dataclass(frozen=True, slots=True)
class Union:
    """Several automata as one, whose accepting states remember the automaton."""

    start: States
    moves: tuple[tuple[tuple[int, States], ...], ...]
    # Of each accepting state, and of every state, which automaton it is of.
    owner: dict[int, int]
    part: tuple[int, ...]

    @classmethod
    def of(cls, nfas: Sequence[Nfa]) -> Union:
        start: set[int] = set()
        moves: list[tuple[tuple[int, States], ...]] = []
        owner: dict[int, int] = {}
        part: list[int] = []
        for number, nfa in enumerate(nfas):
            base = len(moves)
            start.update(base + state for state in nfa.start)
            owner.update((base + state, number) for state in nfa.accepting)
            part += [number] * len(nfa.moves)
            moves += [
                tuple((mask, frozenset(base + target for target in targets)) for mask, targets in steps)
                for steps in nfa.moves
            ]
        return cls(frozenset(start), tuple(moves), owner, tuple(part))

    def accepted(self, states: Iterable[int]) -> frozenset[int]:
        return frozenset(self.owner[state] for state in states if state in self.owner)

    def of_text(self, text: str, domain: Domain) -> frozenset[int]:
        """The automata that accept one text."""
        states = self.start
        for character in text:
            states = self.after(states, domain.alphabet.one(character))
        return self.accepted(states)

    def after(self, states: States, character: int) -> States:
        """Where a character leads, as the set of it alone."""
        return frozenset(
            target
            for state in states
            for mask, targets in self.moves[state]
            if mask & character
            for target in targets
        )

    def alive(self, states: States) -> frozenset[int]:
        """The automata that may still accept."""
        return frozenset(self.part[state] for state in states)

    def without(self, states: States, numbers: Collection[int]) -> States:
        """The states of all other automata."""
        return frozenset(state for state in states if self.part[state] not in numbers) if numbers else states

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
