"""Casbin's pattern functions, compiled: one test a pattern.

Rules:
- a test answers as Casbin's function of that name does (tests/properties hold it to that);
- beside the value a test is given a text of its pattern: patterns of one shape share one test, which stays in the cache;
- plain patterns need no regular expression: a policy of 100,000 paths compiles none;
- several "/*" in a row are matched without backtracking;
- a text with a line break is left to the regular expression itself: its "." stops there, its "$" may not.
"""

from __future__ import annotations

import functools
import ipaddress
import operator
import re
from collections.abc import Callable
from typing import Any

import wcmatch.glob

from extauthz.engine.translation import (
    ANYTHING,
    PLACEHOLDERS,
    SEGMENT,
    expression_of,
    is_plain,
    translated,
)

# Called with the value and a text.
Test = Callable[[Any, str], bool]
# A pattern's test, and its text: what the pattern begins with, as far as that is plain.
Compiled = tuple[Test, str]

# Functions whose test differs for texts with line breaks.
BY_LINES = frozenset(PLACEHOLDERS)
_META = re.compile(r"[\\.^$*+?{}\[\]|()]")
_PIECES = re.compile(f"({ANYTHING}|{SEGMENT})")
_STAND_IN = re.compile(f"[{ANYTHING}{SEGMENT}]")
# A segment that does not end at a slash: it has no one end that is best.
_LOOSE = re.compile(f"{SEGMENT}[^/]")
_STARS = re.compile(r"\*{2,}")


class Tests(dict[str, Compiled]):
    """The tests of one function, one a pattern of the policy, made when it is first asked for."""

    def __init__(self, compiler: Callable[[str], Compiled]) -> None:
        self._compiler = compiler
        super().__init__()

    def __missing__(self, pattern: str) -> Compiled:
        compiled = self[pattern] = self._compiler(pattern)
        return compiled


def tried(compiled: Compiled, value: Any) -> bool:
    """Whether a value matches."""
    test, text = compiled
    return test(value, text)


def _key_match(pattern: str) -> Compiled:
    prefix, star, _ = pattern.partition("*")
    return (str.startswith, prefix) if star else (operator.eq, pattern)


def _key_match2(pattern: str) -> Compiled:
    return _path(translated("keyMatch2", pattern)) if pattern != "*" else (str.startswith, "")


def _key_match3(pattern: str) -> Compiled:
    return _path(translated("keyMatch3", pattern))


def _key_match4(pattern: str) -> Compiled:
    tokens = PLACEHOLDERS["keyMatch4"].findall(pattern)
    if len(set(tokens)) == len(tokens):
        return _path(translated("keyMatch4", pattern))
    return _by_expression4(pattern)


def _key_match5(pattern: str) -> Compiled:
    return _without_query(_path(translated("keyMatch5", pattern)))


def _without_query(compiled: Compiled) -> Compiled:
    path, plain = compiled

    def test(value: str, text: str) -> bool:
        return path(value.partition("?")[0], text)

    return test, plain


def _path(translation: str) -> Compiled:
    """The test of a translated pattern, for texts without line breaks."""
    if not _META.search(translation):
        stand_in = _STAND_IN.search(translation)
        if stand_in is None:
            return operator.eq, translation
        start = stand_in.start()
        shared = _shared(translation[start:])
        if shared is not None:
            return shared, translation[:start]
    if is_plain(translation) and not _LOOSE.search(translation):
        return _atomic(translation)
    return _truth(expression_of(translation))


@functools.lru_cache(4096)
def _shared(rest: str) -> Test | None:
    """The test of all patterns in which this follows their plain beginnings; None: they have none."""
    if rest == ANYTHING:
        return str.startswith
    is_open = rest.endswith(ANYTHING)
    body = rest[:-1] if is_open else rest
    if ANYTHING not in body:
        if _LOOSE.search(body):
            return None
        return _segments(tuple(body.split(SEGMENT)[1:]), is_open=is_open)
    return _pieces(rest.split(ANYTHING)[1:]) if SEGMENT not in rest else None


def _segments(literals: tuple[str, ...], *, is_open: bool) -> Test:
    """The text, then literal texts, each behind a segment that ends at a slash or at the end."""

    # Defaults are looked up faster than what encloses a function.
    def test(value: str, text: str, literals: tuple[str, ...] = literals, is_open: bool = is_open) -> bool:
        if not value.startswith(text):
            return False
        at = len(text)
        for literal in literals:
            end = value.find("/", at)
            if end < 0:
                end = len(value)
            if end == at or not value.startswith(literal, end):
                return False
            at = end + len(literal)
        return is_open or at == len(value)

    return test


def _pieces(pieces: list[str]) -> Test:
    """The text, then literal texts with anything before each, taken where it first comes."""
    *middle, last = pieces

    def test(value: str, text: str) -> bool:
        if not value.startswith(text):
            return False
        at = len(text)
        for piece in middle:
            at = value.find(piece, at)
            if at < 0:
                return False
            at += len(piece)
        return len(value) - len(last) >= at and value.endswith(last)

    return test


def _atomic(translation: str) -> Compiled:
    """Texts, single characters and segments with anything between: each piece is taken where it first ends.

    With "/*" around a piece no later place can do better, so nothing is ever tried twice.
    """
    first, *middle = translation.split(ANYTHING)
    text = _piece(first)
    if middle:
        # Behind ".*" one character of a segment is as good as all.
        pieces = [
            "[^/]" + _piece(piece[1:]) if piece.startswith(SEGMENT) else _piece(piece) for piece in middle
        ]
        text += "".join(f"(?>.*?{piece})" for piece in pieces[:-1]) + f".*{pieces[-1]}"
    return _truth(f"{text}\\Z")


def _piece(text: str) -> str:
    parts = _PIECES.split(text)
    return "".join("[^/]+" if part == SEGMENT else _escaped(part) for part in parts)


def _escaped(text: str) -> str:
    return ".".join(re.escape(part) for part in text.split("."))


def _truth(expression: str) -> Compiled:
    """A regular expression, compiled at its first use: it takes a hundred times as long as any other test."""
    matched: Callable[[str], re.Match[str] | None] | None = None

    def test(value: str, _text: str) -> bool:
        nonlocal matched
        if matched is None:
            matched = re.compile(expression).match
        return matched(value) is not None

    return test, ""


def _glob_match(pattern: str) -> Compiled:
    while pattern.startswith("*/"):
        pattern = pattern[1:]
    parts = (part if part == "**" else _STARS.sub("*", part) for part in pattern.split("/"))
    pattern = "/".join(parts)
    if pattern.endswith("/**"):
        pattern = "{" + pattern[:-3] + "," + pattern + "}"
    compiled: wcmatch.glob.WcMatcher[str] | None = None

    def test(value: str, _text: str) -> bool:
        nonlocal compiled
        if compiled is None:
            compiled = wcmatch.glob.compile(pattern, flags=wcmatch.glob.GLOBSTAR | wcmatch.glob.BRACE)
        return bool(compiled.match(value))

    return test, ""


def _ip_match(pattern: str) -> Compiled:
    contains = ipaddress.ip_network(pattern, strict=False).__contains__

    def test(address: Any, _text: str) -> bool:
        return contains(address)

    return test, ""


def _by_expression2(pattern: str) -> Compiled:
    return _truth(expression_of(translated("keyMatch2", pattern)) if pattern != "*" else "^(.*)$")


def _by_expression3(pattern: str) -> Compiled:
    return _truth(expression_of(translated("keyMatch3", pattern)))


def _by_expression4(pattern: str) -> Compiled:
    tokens = PLACEHOLDERS["keyMatch4"].findall(pattern)
    matched = re.compile(expression_of(translated("keyMatch4", pattern)).replace("[^/]+", "([^/]+)")).match

    def test(value: str, _text: str) -> bool:
        found = matched(value)
        if found is None:
            return False
        bound = dict(zip(tokens, found.groups(), strict=True))
        return all(bound[token] == group for token, group in zip(tokens, found.groups(), strict=True))

    return test, ""


def _by_expression5(pattern: str) -> Compiled:
    return _without_query(_truth(expression_of(translated("keyMatch5", pattern))))


COMPILERS: dict[str, Callable[[str], Compiled]] = {
    "keyMatch": _key_match,
    "keyMatch2": _key_match2,
    "keyMatch3": _key_match3,
    "keyMatch4": _key_match4,
    "keyMatch5": _key_match5,
    "regexMatch": _truth,
    "globMatch": _glob_match,
    # Takes the address, parsed.
    "ipMatch": _ip_match,
}
# The same for texts with line breaks, where they differ.
LINE_COMPILERS: dict[str, Callable[[str], Compiled]] = {
    **COMPILERS,
    "keyMatch2": _by_expression2,
    "keyMatch3": _by_expression3,
    "keyMatch4": _by_expression4,
    "keyMatch5": _by_expression5,
}
