"""Finite automata over an alphabet's bits: built piece by piece, then closed so that only steps are left.

A piece has a start and an end node. Edges are free, or consume a character of a set, or assert that
the text begins ("^") or ends ("$") here.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from extauthz.analysis.unanswerable import Unanswerable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from extauthz.analysis.alphabet import Alphabet

# Nodes of one pattern.
MAX_NODES = 20_000

Piece = tuple[int, int]


class Edge(enum.Enum):
    """What has to hold to take an edge without consuming anything."""

    FREE = ""
    BEGIN = "^"
    END = "$"


@dataclass(frozen=True, slots=True)
class Nfa:
    """`moves` of each state: by which characters to which states. A text is accepted in an `accepting` state."""

    start: frozenset[int]
    moves: tuple[tuple[tuple[int, frozenset[int]], ...], ...]
    accepting: frozenset[int]

    def accepts(self, text: str, alphabet: Alphabet) -> bool:
        """Whether a text over the alphabet is accepted; for tests."""
        states: Iterable[int] = self.start
        for character in text:
            bit = alphabet.one(character)
            states = {
                target
                for state in states
                for mask, targets in self.moves[state]
                if mask & bit
                for target in targets
            }
        return not self.accepting.isdisjoint(states)


@dataclass(slots=True)
class Builder:
    """Nodes and edges, while an automaton grows.

    `rest`: characters behind which a text counts as ended, whatever follows (keyMatch5's "?").
    """

    alphabet: Alphabet
    rest: int = 0
    _free: list[list[tuple[int, Edge]]] = field(default_factory=list)
    _steps: list[list[tuple[int, int]]] = field(default_factory=list)

    def node(self) -> int:
        if len(self._free) >= MAX_NODES:
            raise Unanswerable("a pattern is too large to be taken apart")
        self._free.append([])
        self._steps.append([])
        return len(self._free) - 1

    def free(self, source: int, target: int, edge: Edge = Edge.FREE) -> None:
        self._free[source].append((target, edge))

    def step(self, characters: int) -> Piece:
        source, target = self.node(), self.node()
        characters &= ~self.rest
        if characters:
            self._steps[source].append((characters, target))
        return source, target

    def nothing(self, edge: Edge = Edge.FREE) -> Piece:
        source, target = self.node(), self.node()
        self.free(source, target, edge)
        return source, target

    def sequence(self, pieces: Iterable[Piece]) -> Piece:
        first = last = self.node()
        for start, end in pieces:
            self.free(last, start)
            last = end
        return first, last

    def either(self, pieces: Iterable[Piece]) -> Piece:
        source, target = self.node(), self.node()
        for start, end in pieces:
            self.free(source, start)
            self.free(end, target)
        return source, target

    def loop(self, piece: Piece) -> Piece:
        """A piece any number of times."""
        source, target = self.node(), self.node()
        start, end = piece
        for at in (source, end):
            self.free(at, start)
            self.free(at, target)
        return source, target

    def word(self, text: str) -> Piece:
        return self.sequence([self.step(self.alphabet.one(character)) for character in text])

    def closed(self, piece: Piece) -> Nfa:
        """The automaton of `re.match`: a text is accepted once a beginning of it has been."""
        return _Closing(self, piece[1]).nfa(piece[0])

    def edges(self, node: int) -> list[tuple[int, Edge]]:
        return self._free[node]

    def steps(self, node: int) -> list[tuple[int, int]]:
        return self._steps[node]


# States of a closed automaton that no node stands for: everything that follows is accepted; the text has to end.
_ALL, _END = -1, -2


@dataclass(slots=True)
class _Closing:
    builder: Builder
    final: int
    _numbers: dict[int, int] = field(default_factory=dict)
    _pending: list[int] = field(default_factory=list)
    _closures: dict[int, frozenset[int]] = field(default_factory=dict)

    def nfa(self, start: int) -> Nfa:
        first = self._closure(start, begin=True)
        moves: dict[int, tuple[tuple[int, frozenset[int]], ...]] = {}
        while self._pending:
            key = self._pending.pop()
            moves[self._numbers[key]] = tuple(self._moves(key))
        accepting = frozenset(number for key, number in self._numbers.items() if key < 0)
        return Nfa(first, tuple(moves[number] for number in range(len(moves))), accepting)

    def _moves(self, key: int) -> Iterable[tuple[int, frozenset[int]]]:
        if key == _ALL:
            return [(self.builder.alphabet.all, frozenset({self._number(_ALL)}))]
        if key == _END:
            rest = self.builder.rest
            return [(rest, frozenset({self._number(_ALL)}))] if rest else []
        return [(mask, self._after(target)) for mask, target in self.builder.steps(key)]

    def _after(self, node: int) -> frozenset[int]:
        known = self._closures.get(node)
        if known is None:
            known = self._closures[node] = self._closure(node, begin=False)
        return known

    def _closure(self, start: int, *, begin: bool) -> frozenset[int]:
        """The states that are reached without a character. An asserted end leaves only _END to be in."""
        seen = {(start, False)}
        pending = [(start, False)]
        found = set()
        while pending:
            node, ended = pending.pop()
            if node == self.final:
                found.add(_END if ended else _ALL)
            elif self.builder.steps(node) and not ended:
                found.add(node)
            for target, edge in self.builder.edges(node):
                following = (target, ended or edge is Edge.END)
                if (begin or edge is not Edge.BEGIN) and following not in seen:
                    seen.add(following)
                    pending.append(following)
        # What is accepted whatever follows needs no other state.
        return frozenset(map(self._number, {_ALL} if _ALL in found else found))

    def _number(self, key: int) -> int:
        if key not in self._numbers:
            self._numbers[key] = len(self._numbers)
            self._pending.append(key)
        return self._numbers[key]
