"""Regular expressions as Python reads them, as automata. What is not regular is refused.

The parse tree is the standard library's own, so an expression means here what it means to `re`.
"""

from __future__ import annotations

import re
from re import _constants as op  # type: ignore[attr-defined]  # typeshed leaves the two out
from re import _parser as parser  # type: ignore[attr-defined]
from typing import TYPE_CHECKING, Any

from extauthz.analysis.nfa import Builder, Edge, Piece
from extauthz.analysis.unanswerable import Unanswerable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from extauthz.analysis.alphabet import Alphabet

_CATEGORIES = {
    op.CATEGORY_DIGIT: r"\d",
    op.CATEGORY_NOT_DIGIT: r"\D",
    op.CATEGORY_SPACE: r"\s",
    op.CATEGORY_NOT_SPACE: r"\S",
    op.CATEGORY_WORD: r"\w",
    op.CATEGORY_NOT_WORD: r"\W",
}
_ASSERTED = {
    op.AT_BEGINNING: Edge.BEGIN,
    op.AT_BEGINNING_STRING: Edge.BEGIN,
    op.AT_END: Edge.END,
    op.AT_END_STRING: Edge.END,
}
_REPEATS = (op.MAX_REPEAT, op.MIN_REPEAT)
# Copies that {m,n} may ask for.
_MAX_COPIES = 1_000


def piece_of(expression: str, builder: Builder, groups: int | None = None) -> Piece:
    """The piece that matches what `re.match` matches. Raises Unanswerable.

    `groups`: how many groups the expression has to capture, where that matters to the caller.
    """
    try:
        tree = parser.parse(expression)
    except (re.error, RecursionError, OverflowError) as error:
        raise Unanswerable(f"{expression!r} is no regular expression: {error}") from error
    if tree.state.flags != re.UNICODE.value:
        raise Unanswerable(f"{expression!r} has flags")
    if groups is not None and tree.state.groups - 1 != groups:
        raise Unanswerable(f"{expression!r} has groups of its own, on which the function fails")
    return _Reader(expression, builder).sequence(tree)


class _Reader:
    def __init__(self, expression: str, builder: Builder) -> None:
        self._expression = expression
        self._builder = builder

    def sequence(self, items: Iterable[tuple[Any, Any]]) -> Piece:
        return self._builder.sequence([self._piece(kind, value) for kind, value in items])

    def _piece(self, kind: Any, value: Any) -> Piece:
        if kind in _REPEATS:
            return self._repeat(*value)
        if kind is op.BRANCH:
            return self._builder.either([self.sequence(branch) for branch in value[1]])
        if kind is op.SUBPATTERN and not value[1] and not value[2]:
            return self.sequence(value[3])
        if kind is op.AT and value in _ASSERTED:
            return self._builder.nothing(_ASSERTED[value])
        try:
            return self._builder.step(characters(kind, value, self._builder.alphabet))
        except Unanswerable as error:
            raise self._refusal(str(error)) from error

    def _repeat(self, least: int, most: Any, items: Any) -> Piece:
        copies = least if most is op.MAXREPEAT else int(most)
        if copies > _MAX_COPIES:
            raise self._refusal(f"more than {_MAX_COPIES} repetitions")
        pieces = [self.sequence(items) for _ in range(least)]
        if most is op.MAXREPEAT:
            pieces.append(self._builder.loop(self.sequence(items)))
        else:
            maybe = self._builder.nothing
            pieces += [self._builder.either([self.sequence(items), maybe()]) for _ in range(copies - least)]
        return self._builder.sequence(pieces)

    def _refusal(self, what: str) -> Unanswerable:
        return Unanswerable(f"{self._expression!r} has {what}, which cannot be taken apart exactly")


def characters(kind: Any, value: Any, alphabet: Alphabet) -> int:
    """The characters of a part of an expression that takes one. Raises Unanswerable for what is none."""
    if kind is op.LITERAL:
        return alphabet.one(chr(value))
    if kind is op.NOT_LITERAL:
        return alphabet.all & ~alphabet.one(chr(value))
    if kind is op.ANY:
        return alphabet.all & ~alphabet.one("\n")
    if kind is op.RANGE:
        if value[1] > 127 and not alphabet.complete:
            raise Unanswerable("a range beyond ASCII")
        return alphabet.where(lambda character: value[0] <= ord(character) <= value[1])
    if kind is op.CATEGORY and value in _CATEGORIES:
        category = re.compile(_CATEGORIES[value])
        return alphabet.where(lambda character: category.fullmatch(character) is not None)
    if kind is op.IN:
        negated = value[0][0] is op.NEGATE
        found = 0
        for one, argument in value[negated:]:
            found |= characters(one, argument, alphabet)
        return alphabet.all & ~found if negated else found
    raise Unanswerable(str(kind).lower().replace("_", " "))
