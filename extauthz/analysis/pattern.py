"""Casbin's path patterns as automata: the expression behind each function, letter by letter as Casbin makes it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from extauthz.analysis.expression import piece_of
from extauthz.analysis.nfa import Builder, Nfa
from extauthz.analysis.unanswerable import Unanswerable

if TYPE_CHECKING:
    from extauthz.analysis.alphabet import Alphabet

_VARIABLE2 = re.compile(r"(.*?):[^\/]+(.*?)")
_VARIABLE3 = re.compile(r"(.*?){[^\/]+?}(.*?)")
_VARIABLE4 = re.compile(r"{([^/]+)}")
_VARIABLE5 = re.compile(r"{[^/]+}")
# What is more than itself in a regular expression.
_EXPRESSION = re.compile(r"[\\.^$*+?{}\[\]|()]")

# Numbers of segments that have to be equal, the earlier first.
Pairs = tuple[tuple[int, int], ...]


def nfa_of(function: str, pattern: str, alphabet: Alphabet) -> Nfa:
    """The texts over an alphabet that a pattern matches. Raises Unanswerable."""
    if function == "==":
        builder = Builder(alphabet)
        return builder.closed(builder.sequence([builder.word(pattern), piece_of("$", builder)]))
    if function == "keyMatch":
        builder = Builder(alphabet)
        start, star, _ = pattern.partition("*")
        word = builder.word(start)
        return builder.closed(word if star else builder.sequence([word, piece_of("$", builder)]))
    builder = Builder(alphabet, rest=alphabet.one("?") if function == "keyMatch5" else 0)
    expression = _expression(function, pattern.replace("/*", "/.*"))
    return builder.closed(
        piece_of(expression, builder, _variables(pattern) if function == "keyMatch4" else None)
    )


def _variables(pattern: str) -> int:
    """How many variables a keyMatch4 pattern has."""
    return len(_VARIABLE4.findall(pattern.replace("/*", "/.*")))


def equal_segments(function: str, pattern: str) -> Pairs:
    """The segments, counted from 0 before the first slash, that have to be equal for a pattern to match.

    keyMatch4 asks that of variables of one name. Such a variable has to be a whole segment, and nothing
    beside it an expression, so that its place is known. Raises Unanswerable for others.
    """
    if function != "keyMatch4":
        return ()
    names = _VARIABLE4.findall(pattern.replace("/*", "/.*"))
    if len(set(names)) == len(names):
        return ()
    if _EXPRESSION.search(_VARIABLE4.sub("", pattern.removesuffix("/*"))):
        raise Unanswerable(f"{pattern!r} has a variable twice, beside what is an expression")
    first: dict[str, int] = {}
    pairs = []
    for at, segment in enumerate(pattern.split("/")):
        for name in _VARIABLE4.findall(segment):
            if names.count(name) > 1 and segment != f"{{{name}}}":
                raise Unanswerable(f"{pattern!r} has the variable {name!r} twice, in a part of a segment")
            if first.setdefault(name, at) != at:
                pairs.append((first[name], at))
    return tuple(pairs)


def _expression(function: str, pattern: str) -> str:
    if function == "keyMatch2":
        pattern = _VARIABLE2.sub(r"\g<1>[^\/]+\g<2>", pattern)
        return "^" + ("(.*)" if pattern == "*" else pattern) + "$"
    if function == "keyMatch3":
        return "^" + _VARIABLE3.sub(r"\g<1>[^\/]+\g<2>", pattern) + "$"
    if function == "keyMatch5":
        return "^" + _VARIABLE5.sub("[^/]+", pattern) + "$"
    if function == "keyMatch4":
        return "^" + _VARIABLE4.sub("([^/]+)", pattern) + "$"
    raise Unanswerable(f"{function} patterns are not taken apart")
