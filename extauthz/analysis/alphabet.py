"""The characters that a request value can be made of, as bits: sets of characters are whole numbers.

Order is preference: the first character of a set is the one that an example shows.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Alphabet:
    """`characters`, each once. `complete`: nothing else can occur, so ranges beyond ASCII mean nothing."""

    characters: str
    complete: bool = False

    @functools.cached_property
    def all(self) -> int:
        return (1 << len(self.characters)) - 1

    @functools.cached_property
    def _bits(self) -> dict[str, int]:
        return {character: 1 << at for at, character in enumerate(self.characters)}

    def one(self, character: str) -> int:
        """The set of one character; empty for one that cannot occur."""
        return self._bits.get(character, 0)

    def some(self, characters: str) -> int:
        return sum(self.one(character) for character in set(characters))

    def where(self, holds: Callable[[str], bool]) -> int:
        return sum(bit for character, bit in self._bits.items() if holds(character))

    def first(self, characters: int) -> str:
        """The preferred character of a set that is not empty."""
        return self.characters[(characters & -characters).bit_length() - 1]
