"""Builds an index: decides, rule set by rule set, which field tells the rules apart best."""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from extauthz.engine.heads import anchors_of, head_of
from extauthz.engine.index import Anchors, Heads, Networks, Values
from extauthz.engine.matcher import PATTERNS
from extauthz.engine.memory import drain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from extauthz.engine.heads import Head
    from extauthz.engine.index import Entry, Node
    from extauthz.engine.matcher import Test

# So few rules are faster tried than told apart.
_FEW = 3
# Beginnings of more lengths than that are cut to some of them: each length costs a look.
_MAX_LENGTHS = 8
# Anchors are tried when that many rules would stay together.
_ANCHOR_FROM = 16
_MAX_ANCHORS = 8

Anchor = tuple[int, str]
K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Dimension:
    """One field that an index may split by. `at`: where the request's context has what it is asked with."""

    at: int
    tests: tuple[Test, ...]
    # For paths there is a second one of these, that splits by anchors; these were used further up.
    anchors: frozenset[Anchor] | None = None

    @property
    def field(self) -> int:
        return self.tests[0].field

    @property
    def function(self) -> str:
        return self.tests[0].function

    @property
    def has_heads(self) -> bool:
        return self.function in PATTERNS and self.function != "ipMatch"


@dataclass
class Split:
    """Rules told apart by one dimension."""

    dimension: Dimension
    # By value, by whole pattern or by network; by head; by anchor.
    whole: dict[str, list[int]] = field(default_factory=dict)
    heads: dict[str, list[int]] = field(default_factory=dict)
    anchored: dict[Anchor, list[int]] = field(default_factory=dict)
    # Those that are always left.
    others: list[int] = field(default_factory=list)

    @functools.cached_property
    def together(self) -> int:
        """How many rules stay together in the worst case, but for unlikely coincidences."""
        wild = len(self.heads.get("", ())) + len(self.others)
        largest = wild
        for groups in (self.whole, self.heads, self.anchored):
            for group in groups.values():
                largest = max(largest, len(group))
        return largest + (wild if self.whole or self.heads or self.anchored else 0)

    def close(self) -> None:
        """The groups are not needed any more."""
        drain(self.whole, self.heads, self.anchored)


class Builder:
    """Builds trees over one policy's rules."""

    def __init__(
        self,
        fields: Sequence[tuple[str, ...]],
        entries: Sequence[Entry],
        texts: Mapping[tuple[str, int], int],
    ) -> None:
        """`texts`: by function and field, where in an entry is the text that its test is given."""
        self._fields = fields
        self._entries = entries
        self._texts = texts
        # Which places of the context the trees look at.
        self.used: set[int] = set()
        # By dimension, what is known of each rule's pattern.
        self._heads: dict[tuple[str, int], list[Head | None]] = {}
        self._anchors: dict[tuple[str, int], list[tuple[Anchor, ...] | None]] = {}

    def tree(self, rules: Sequence[int], dimensions: Sequence[Dimension]) -> Node:
        """The index of some rules; dimensions in the order of preference."""
        if len(rules) <= _FEW:
            return self._leaf(rules)
        best: Split | None = None
        for dimension in dimensions:
            fewest = len(rules) if best is None else best.together
            if fewest <= _FEW:
                break
            if dimension.anchors is None or (fewest > _ANCHOR_FROM and len(dimension.anchors) < _MAX_ANCHORS):
                split = self._split(rules, dimension)
                if split.together < fewest:
                    split, best = (split if best is None else best), split
                if split is not best:
                    split.close()
        if best is None:
            return self._leaf(rules)
        node = self._node(best, dimensions)
        best.close()
        return node

    def _leaf(self, rules: Sequence[int]) -> Node:
        if len(rules) == 1:
            return self._entries[rules[0]]
        return [self._entries[rule] for rule in rules]

    def close(self) -> None:
        """Nothing more is built."""
        drain(*self._heads.values(), *self._anchors.values())

    def _split(self, rules: Sequence[int], dimension: Dimension) -> Split:
        if dimension.anchors is not None:
            return self._by_anchors(rules, dimension, dimension.anchors)
        if dimension.has_heads:
            return self._by_heads(rules, dimension)
        split = Split(dimension)
        group = split.whole.setdefault
        fields, at = self._fields, dimension.field
        for rule in rules:
            group(fields[rule][at], []).append(rule)
        return split

    def _by_heads(self, rules: Sequence[int], dimension: Dimension) -> Split:
        split = Split(dimension)
        fields, at, function = self._fields, dimension.field, dimension.function
        heads = self._heads.get((function, at)) or [None] * len(fields)
        self._heads[function, at] = heads
        for rule in rules:
            head = heads[rule]
            if head is None:
                head = heads[rule] = self._shared(head_of(function, fields[rule][at]), function, at, rule)
            groups = split.whole if head[1] else split.heads
            groups.setdefault(head[0], []).append(rule)
        split.heads = _cut(split.heads)
        return split

    def _shared(self, head: Head, function: str, field: int, rule: int) -> Head:
        """With the text of the rule's test, if that is the same: what the index looked at need not be fetched again."""
        place = self._texts.get((function, field))
        if place is not None and self._entries[rule][place] == head.text:
            return head._replace(text=self._entries[rule][place])
        return head

    def _by_anchors(self, rules: Sequence[int], dimension: Dimension, used: frozenset[Anchor]) -> Split:
        split = Split(dimension)
        function, at = dimension.function, dimension.field
        known = self._anchors.get((function, at)) or [None] * len(self._fields)
        self._anchors[function, at] = known
        common: Counter[Anchor] = Counter()
        anchors = []
        for rule in rules:
            found = known[rule]
            if found is None:
                found = known[rule] = anchors_of(function, self._fields[rule][at])
            free = [anchor for anchor in found if anchor not in used]
            common.update(free)
            anchors.append(free)
        for rule, free in zip(rules, anchors, strict=True):
            if free:
                split.anchored.setdefault(min(free, key=common.__getitem__), []).append(rule)
            else:
                split.others.append(rule)
        return split

    def _node(self, split: Split, dimensions: Sequence[Dimension]) -> Node:
        dimension = split.dimension
        self.used.add(dimension.at)
        if dimension.anchors is not None:
            return self._anchor_node(split, dimension.anchors, dimensions)
        others = [other for other in dimensions if other is not dimension]
        # Whole values need no second look at their field.
        closed = [other for other in others if other.field != dimension.field]
        if dimension.has_heads:
            whole, heads, split.whole, split.heads = split.whole, split.heads, {}, {}
            return Heads(dimension.at, self._children(whole, closed), self._children(heads, others))
        if dimension.function == "ipMatch":
            networks: dict[tuple[int, int, int], list[int]] = {}
            for value, group in split.whole.items():
                networks.setdefault(Networks.key(value), []).extend(group)
            return Networks(dimension.at, self._children(networks, closed))
        whole, split.whole = split.whole, {}
        return Values(dimension.at, self._children(whole, closed))

    def _children(self, groups: dict[K, list[int]], dimensions: Sequence[Dimension]) -> dict[K, Node]:
        """The groups' trees, put in their places: a dict that grows anew would halt everything meanwhile."""
        children: dict[K, Any] = groups
        entries = self._entries
        for key, group in groups.items():
            children[key] = entries[group[0]] if len(group) == 1 else self.tree(group, dimensions)
        return children

    def _anchor_node(self, split: Split, used: frozenset[Anchor], dimensions: Sequence[Dimension]) -> Node:
        placed: dict[int, dict[str, Node]] = {}
        anywhere: dict[str, Node] = {}

        def without(anchors: frozenset[Anchor]) -> list[Dimension]:
            return [
                replace(other, anchors=anchors) if other is split.dimension else other for other in dimensions
            ]

        for anchor, group in split.anchored.items():
            place, segment = anchor
            children = placed.setdefault(place, {}) if place >= 0 else anywhere
            children[segment] = self.tree(group, without(used | {anchor}))
        others = [other for other in dimensions if other is not split.dimension]
        return Anchors(split.dimension.at, placed, anywhere, self.tree(split.others, others))


def _cut(heads: dict[str, list[int]]) -> dict[str, list[int]]:
    """Heads of a few lengths only: each cut to the next shorter length that is kept."""
    counts = Counter(len(head) for head in heads)
    if len(counts) <= _MAX_LENGTHS:
        return heads
    kept = _kept(counts)
    found: dict[str, list[int]] = {}
    for text, group in heads.items():
        length = max(length for length in kept if length <= len(text))
        found.setdefault(text[:length], []).extend(group)
    return found


def _kept(counts: Counter[int]) -> list[int]:
    """The shortest length, and others so that about equally many heads are cut to each."""
    lengths = sorted(counts)
    kept, share, seen = [lengths[0]], sum(counts.values()) / _MAX_LENGTHS, 0
    for length in lengths:
        if seen >= share * len(kept) and length > kept[-1]:
            kept.append(length)
        seen += counts[length]
    return kept


def dimensions_of(
    conjuncts: Sequence[tuple[Test, ...]], place: Callable[[tuple[Test, ...]], int]
) -> list[Dimension]:
    """What the field conjuncts of a branch let an index split by, exact values first."""
    found = [Dimension(place(tests), tests) for tests in conjuncts]
    paths = [
        replace(dimension, anchors=frozenset())
        for dimension in found
        if dimension.function in {"keyMatch2", "keyMatch3", "keyMatch4", "keyMatch5"}
    ]
    return sorted(found, key=lambda dimension: dimension.function in PATTERNS) + paths
