"""Casbin's pattern functions, compiled: one test a pattern, and what an index may know about it.

Rules:
- a test answers as Casbin's function of that name does for every text (tests/properties hold it to that);
- plain patterns need no regular expression: loading 100,000 of them compiles none;
- several "/*" in a row are matched without backtracking;
- what an index knows is necessary, never sufficient: the test has the last word.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Any

import wcmatch.glob

Test = Callable[[Any], bool]

# Stand-ins for ".*" and "[^/]+" in a translated pattern; no field of a policy holds control characters.
ANYTHING, SEGMENT = "\x01", "\x02"
_PIECES = re.compile(f"({ANYTHING}|{SEGMENT})")
# A segment that does not end at a slash: it has no one end that is best.
_LOOSE = re.compile(f"{SEGMENT}[^/]")
_PATH_END = re.compile(r"/|\Z")
_META = frozenset("\\.^$*+?{}[]|()")
_META_NO_DOT = _META - {"."}
_NAMED = {
    "keyMatch2": (re.compile(r":[^/]+"), SEGMENT),
    "keyMatch3": (re.compile(r"{[^/]+?}"), SEGMENT),
    "keyMatch5": (re.compile(r"{[^/]+}"), SEGMENT),
}
GROUPS = re.compile(r"{([^/]+)}")
_STARS = re.compile(r"\*{2,}")


class Tests(dict[str, Test]):
    """The tests of one function in one snapshot, each compiled at its first use; only patterns of the policy."""

    def __init__(self, function: str) -> None:
        self._compile = COMPILERS[function]
        super().__init__()

    def __missing__(self, pattern: str) -> Test:
        test = self[pattern] = self._compile(pattern)
        return test


def translated(function: str, pattern: str) -> str:
    """A keyMatch2, 3 or 5 pattern with stand-ins where Casbin puts expressions."""
    named, stand_in = _NAMED[function]
    return named.sub(stand_in, pattern.replace("/*", f"/{ANYTHING}"))


def path_translation(function: str, pattern: str) -> str | None:
    """A translated path pattern; None for other functions, and where more than "." is left for an expression."""
    if function == "keyMatch4":
        translation = GROUPS.sub(SEGMENT, pattern.replace("/*", f"/{ANYTHING}"))
    elif function in _NAMED:
        translation = translated(function, pattern)
    else:
        return None
    return translation if _META_NO_DOT.isdisjoint(translation) else None


def expression(translation: str) -> str:
    """The regular expression that Casbin makes of a pattern."""
    return "^" + translation.replace(ANYTHING, ".*").replace(SEGMENT, "[^/]+") + "$"


def _key_match(pattern: str) -> Test:
    prefix, star, _ = pattern.partition("*")
    return _starts(prefix) if star else pattern.__eq__


def _starts(prefix: str) -> Test:
    def test(value: str) -> bool:
        return value.startswith(prefix)

    return test


def _key_match2(pattern: str) -> Test:
    return _path(translated("keyMatch2", pattern) if pattern != "*" else "(.*)")


def _key_match3(pattern: str) -> Test:
    return _path(translated("keyMatch3", pattern))


def _key_match4(pattern: str) -> Test:
    tokens = GROUPS.findall(pattern.replace("/*", "/.*"))
    translation = GROUPS.sub(SEGMENT, pattern.replace("/*", f"/{ANYTHING}"))
    if len(set(tokens)) == len(tokens):
        return _path(translation)
    text = "^" + translation.replace(ANYTHING, ".*").replace(SEGMENT, "([^/]+)") + "$"
    matched = re.compile(text).match

    def test(value: str) -> bool:
        found = matched(value)
        if found is None:
            return False
        bound = dict(zip(tokens, found.groups(), strict=True))
        return all(bound[token] == group for token, group in zip(tokens, found.groups(), strict=True))

    return test


def _key_match5(pattern: str) -> Test:
    path = _path(translated("keyMatch5", pattern))

    def test(value: str) -> bool:
        return path(value.partition("?")[0])

    return test


def _path(translation: str) -> Test:
    parts = _PIECES.split(translation)
    literals = parts[::2]
    if all(_META.isdisjoint(literal) for literal in literals):
        if ANYTHING not in parts[:-2]:
            segments = _segments(literals, parts[1::2])
            if segments is not None:
                return segments
        if SEGMENT not in parts:
            return _pieces(literals, translation)
    if all(_META_NO_DOT.isdisjoint(literal) for literal in literals) and not _LOOSE.search(translation):
        return _atomic(parts, translation)
    return _truth(re.compile(expression(translation)).match)


def _truth(matched: Callable[[str], re.Match[str] | None]) -> Test:
    def test(value: str) -> bool:
        return matched(value) is not None

    return test


def _with_line_break(translation: str, value: str) -> bool:
    """Casbin's "." stops at a line break, its "$" ignores one at the end: left to the expression itself."""
    return re.match(expression(translation), value) is not None


def _segments(literals: list[str], between: list[str]) -> Test | None:
    """Literal text and whole segments, perhaps with "/*" at the end; None for another shape."""
    is_open = ANYTHING in between
    if is_open and literals[-1]:
        return None
    first, *rest = literals[:-1] if is_open else literals
    if not rest:
        return _starts_on_a_line(first) if is_open else _literal(first)
    # A segment ends at a slash, or at the end of all.
    if not all(literal.startswith("/") for literal in rest[:-1]) or not _PATH_END.match(rest[-1]):
        return None
    if is_open and not rest[-1]:
        return None
    return _segment_test(first, tuple(rest), is_open=is_open)


def _segment_test(first: str, rest: tuple[str, ...], *, is_open: bool) -> Test:
    translation = SEGMENT.join((first, *rest)) + (ANYTHING if is_open else "")
    start = len(first)

    def test(value: str) -> bool:
        if not value.startswith(first):
            return False
        if "\n" in value:
            return _with_line_break(translation, value)
        at = start
        for literal in rest:
            end = value.find("/", at)
            if end < 0:
                end = len(value)
            if end == at or not value.startswith(literal, end):
                return False
            at = end + len(literal)
        return is_open or at == len(value)

    return test


def _literal(text: str) -> Test:
    def test(value: str) -> bool:
        return value == text or (value[-1:] == "\n" and value[:-1] == text)

    return test


def _starts_on_a_line(prefix: str) -> Test:
    def test(value: str) -> bool:
        return value.startswith(prefix) and "\n" not in value[:-1]

    return test


def _pieces(literals: list[str], translation: str) -> Test:
    """Literal pieces with anything between them."""
    first, *middle, last = literals
    start = len(first)

    def test(value: str) -> bool:
        if not value.startswith(first):
            return False
        if "\n" in value:
            return _with_line_break(translation, value)
        at = start
        for piece in middle:
            at = value.find(piece, at)
            if at < 0:
                return False
            at += len(piece)
        return len(value) - len(last) >= at and value.endswith(last)

    return test


def _atomic(parts: list[str], translation: str) -> Test:
    """Each piece taken where it first ends: with "/*" around it no later place can do better."""
    pieces = [""]
    for part in parts:
        if part == ANYTHING:
            pieces.append("")
        elif part == SEGMENT:
            # Behind ".*" one character of the segment is as good as all.
            pieces[-1] += "[^/]+" if pieces[-1] or len(pieces) == 1 else "[^/]"
        else:
            pieces[-1] += "".join("." if character == "." else re.escape(character) for character in part)
    first, *middle = pieces
    text = first
    if middle:
        text += "".join(f"(?>.*?{piece})" for piece in middle[:-1]) + f".*{middle[-1]}"
    matched = re.compile(f"{text}\\Z").match

    def test(value: str) -> bool:
        return matched(value) is not None if "\n" not in value else _with_line_break(translation, value)

    return test


def _regex_match(pattern: str) -> Test:
    return _truth(re.compile(pattern).match)


def _glob_match(pattern: str) -> Test:
    while pattern.startswith("*/"):
        pattern = pattern[1:]
    parts = (part if part == "**" else _STARS.sub("*", part) for part in pattern.split("/"))
    pattern = "/".join(parts)
    if pattern.endswith("/**"):
        pattern = "{" + pattern[:-3] + "," + pattern + "}"
    compiled = wcmatch.glob.compile(pattern, flags=wcmatch.glob.GLOBSTAR | wcmatch.glob.BRACE)

    def test(value: str) -> bool:
        return bool(compiled.match(value))

    return test


def _ip_match(pattern: str) -> Test:
    return ipaddress.ip_network(pattern, strict=False).__contains__


COMPILERS: dict[str, Callable[[str], Test]] = {
    "keyMatch": _key_match,
    "keyMatch2": _key_match2,
    "keyMatch3": _key_match3,
    "keyMatch4": _key_match4,
    "keyMatch5": _key_match5,
    "regexMatch": _regex_match,
    "globMatch": _glob_match,
    # Takes the address, parsed.
    "ipMatch": _ip_match,
}
