"""All ways in which a set of patterns can match, each with its shortest example.

The patterns' automata run side by side over the texts of a domain; two texts that lead to the same
states will be matched alike whatever follows. Walking all reachable states breadth first finds
every combination of patterns that some text has, and none that no text has: nothing is sampled.
"""

from __future__ import annotations

import functools
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from extauthz.analysis.domain import OPEN
from extauthz.analysis.repeated import Repetitions, walked
from extauthz.analysis.unanswerable import Unanswerable
from extauthz.analysis.union import MAX_STATES, Union

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from extauthz.analysis.domain import Domain
    from extauthz.analysis.nfa import Nfa
    from extauthz.analysis.pattern import Pairs
    from extauthz.analysis.union import States


def combinations(
    nfas: Sequence[Nfa],
    domain: Domain,
    examples: Iterable[str] = (),
    equal: Mapping[int, Pairs] | None = None,
) -> dict[frozenset[int], str]:
    """For each combination of automata that accept together, and no other with them: the shortest such text.

    `equal`: segments that have to be equal for an automaton to accept. Where one of the examples is such a
    text, it is taken instead. Raises Unanswerable.
    """
    union = Union.of(nfas)
    repetitions = Repetitions(equal or {})
    walk = (
        functools.partial(walked, union, domain, repetitions) if equal else _Walk(union, domain).combinations
    )
    found = walk()
    shown: dict[frozenset[int], str] = {}
    for example in examples:
        shown.setdefault(repetitions.kept(union.of_text(example, domain), example), example)
    return {accepted: shown.get(accepted, text) for accepted, text in found.items()}


@dataclass(slots=True)
class _Walk:
    union: Union
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
