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
    """How many variables a keyMatch4 pattern has. A name that stands twice asks for equal texts: not regular."""
    names = _VARIABLE4.findall(pattern.replace("/*", "/.*"))
    if len(set(names)) < len(names):
        raise Unanswerable(f"{pattern!r} asks that two parts of a path are equal")
    return len(names)


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
