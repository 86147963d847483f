"""Which values of a rule's field match all that another one matches: for each function those that are surely wider.

Not all of them: what is named here is wider, what is not may be too.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from extauthz.engine.reading import is_clean
from extauthz.engine.translation import ANYTHING, SEGMENT, translated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from extauthz.engine.roles import RoleGraph

# Segments of a path of which each may be a variable in a wider one.
_MOST_SEGMENTS = 6
# Hops from a rule's role to a wider one; the last of nine is left to a token's role.
_HOPS = 8
PATHS = frozenset({"keyMatch2", "keyMatch3", "keyMatch4", "keyMatch5"})


@dataclass(frozen=True, slots=True)
class Field:
    """How a field of the rules is compared, "" where it is not. `graph` where it is by roles."""

    function: str = "=="
    graph: RoleGraph | None = None
    # Of all values in the policy, as `key` gives them.
    known: set[str] = field(default_factory=set)

    def key(self, value: str) -> str:
        """The same for values that match the same, whatever their variables are called."""
        if not self.function:
            return ""
        if self.function in PATHS and is_clean(self.function, value) and not _repeats(self.function, value):
            return translated(self.function, value) if value != "*" else value
        return value

    def wider(self, value: str) -> Iterator[str]:
        """The keys in the policy that match all that `value` matches, its own first."""
        own = self.key(value)
        yield own
        for key in dict.fromkeys(self._candidates(value, own)):
            if key != own and key in self.known:
                yield key

    def _candidates(self, value: str, own: str) -> Iterator[str]:
        if self.graph is not None:
            yield from self.graph.reach(value, hops=_HOPS)
        elif self.function == "keyMatch":
            start = value.partition("*")[0]
            yield from (f"{start[:length]}*" for length in range(len(start) + 1))
        elif self.function in PATHS and is_clean(self.function, value) and value != "*":
            yield from _paths(own)
            if self.function == "keyMatch2":
                yield "*"


def _repeats(function: str, value: str) -> bool:
    """A variable that stands twice in keyMatch4 asks that both are equal."""
    tokens = value.split("/")
    return function == "keyMatch4" and len({*tokens}) < len(tokens)


def _paths(pattern: str) -> Iterator[str]:
    segments = pattern.split("/")[1:]
    few = len(segments) <= _MOST_SEGMENTS
    choices = [
        (segment, SEGMENT) if few and segment not in {"", ANYTHING, SEGMENT} else (segment,)
        for segment in segments
    ]
    for count in range(len(segments) + 1):
        for chosen in itertools.product(*choices[:count]):
            text = "".join(f"/{segment}" for segment in chosen)
            yield text if count == len(segments) else f"{text}/{ANYTHING}"
