"""Expressions that can read one text in more and more ways, the longer it is: a search that fails tries them all.

The places of an expression are the single characters that it takes; `follow` says which place can come after which.
If from one place two different ways with the same characters lead back to it, each turn doubles the ways:
(a|a)*, (a|ab)*b, (a*a)*, (a+)+. Such ways are looked for in the pairs of places that the same text can reach.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from dataclasses import dataclass, field
from re import _constants as op  # type: ignore[attr-defined]  # typeshed leaves the two out
from re import _parser as parser  # type: ignore[attr-defined]
from typing import TYPE_CHECKING, Any

from extauthz.analysis.alphabet import Alphabet
from extauthz.analysis.components import components
from extauthz.analysis.expression import characters
from extauthz.analysis.unanswerable import Unanswerable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# What is written out so many times; more is taken for "any number", which reads at least as much.
_COPIES = 8
_MAX_PLACES = 400
_MAX_WORK = 100_000
_REPEATS = (op.MAX_REPEAT, op.MIN_REPEAT)
_PLAIN = "".join(map(chr, range(32, 127))) + "\n\té٣€"

Pair = tuple[int, int]


def is_ambiguous(expression: str) -> bool:
    """Whether an expression can read some texts in exponentially many ways.

    False too where it is none, is too large to be looked through, or has what is not looked into (look-ahead,
    back references, flags, atomic groups).
    """
    alphabet = Alphabet("".join(dict.fromkeys(_PLAIN + expression)))
    try:
        tree = parser.parse(expression)
        if tree.state.flags != re.UNICODE.value:
            return False
        places = _Places(alphabet)
        places.sequence(tree)
        return _doubles(places)
    except (re.error, RecursionError, OverflowError, Unanswerable):
        return False


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of an expression: the places with which it can begin and end, and whether it can be empty."""

    first: tuple[int, ...] = ()
    last: tuple[int, ...] = ()
    empty: bool = True


@dataclass(slots=True)
class _Places:
    alphabet: Alphabet
    # The characters of each place; and how often each step from place to place is given.
    masks: list[int] = field(default_factory=list)
    follow: Counter[Pair] = field(default_factory=Counter)

    def sequence(self, items: Iterable[tuple[Any, Any]]) -> _Part:
        whole = _Part()
        for kind, value in items:
            whole = self._joined(whole, self._part(kind, value))
        return whole

    def _joined(self, one: _Part, other: _Part) -> _Part:
        self.follow.update(itertools.product(one.last, other.first))
        return _Part(
            one.first + (other.first if one.empty else ()),
            other.last + (one.last if other.empty else ()),
            one.empty and other.empty,
        )

    def _part(self, kind: Any, value: Any) -> _Part:
        if kind in _REPEATS:
            return self._repeated(*value)
        if kind is op.BRANCH:
            parts = [self.sequence(branch) for branch in value[1]]
            return _Part(
                tuple(itertools.chain.from_iterable(part.first for part in parts)),
                tuple(itertools.chain.from_iterable(part.last for part in parts)),
                any(part.empty for part in parts),
            )
        if kind is op.SUBPATTERN and not value[1] and not value[2]:
            return self.sequence(value[3])
        if kind is op.AT:
            return _Part()
        if len(self.masks) >= _MAX_PLACES:
            raise Unanswerable("more places than are looked through")
        self.masks.append(characters(kind, value, self.alphabet))
        place = (len(self.masks) - 1,)
        return _Part(place, place, empty=False)

    def _repeated(self, least: int, most: Any, items: Any) -> _Part:
        if most is op.MAXREPEAT or most > _COPIES:
            part = self.sequence(items)
            self.follow.update(itertools.product(part.last, part.first))
            return _Part(part.first, part.last, part.empty or least == 0)
        whole = _Part()
        for number in range(most):
            part = self.sequence(items)
            whole = self._joined(whole, part if number < least else _Part(part.first, part.last))
        return whole


def _doubles(places: _Places) -> bool:
    """Whether two ways with the same characters lead from a place back to it."""
    after: dict[int, list[int]] = {}
    for one, other in places.follow:
        after.setdefault(one, []).append(other)
    for circle in components({place: after.get(place, []) for place in range(len(places.masks))}):
        inside = {place: [other for other in after.get(place, ()) if other in circle] for place in circle}
        if any(places.follow[one, other] > 1 for one, others in inside.items() for other in others):
            return True
        pairs = _pairs(inside, places.masks)
        for alike in components(pairs):
            # Where a pair of one place twice and one of two places lead to each other.
            if len({one == other for one, other in alike}) > 1:
                return True
    return False


def _pairs(after: Mapping[int, list[int]], masks: Sequence[int]) -> dict[Pair, list[Pair]]:
    """The pairs of places that one text can lead to from one place, and the pairs that follow each."""
    found: dict[Pair, list[Pair]] = {}
    pending: list[Pair] = [(place, place) for place in after]
    work = 0
    while pending:
        pair = pending.pop()
        if pair in found:
            continue
        ways = itertools.product(after[pair[0]], after[pair[1]])
        found[pair] = [(min(way), max(way)) for way in ways if masks[way[0]] & masks[way[1]]]
        pending += found[pair]
        work += len(after[pair[0]]) * len(after[pair[1]])
        if work > _MAX_WORK:
            raise Unanswerable("more pairs of places than are looked through")
    return found
