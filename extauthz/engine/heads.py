"""What an index may know about Casbin's patterns: how what they match begins, and which segments it must have.

What is said here is necessary for a match, never sufficient.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from extauthz.engine.translation import PLACEHOLDERS, is_plain, translated

_META = frozenset("\\.^$*+?{}[]|()\x01\x02")


class Head(NamedTuple):
    """What every text that a pattern matches begins with; `whole`: nothing but this (and a line break) matches."""

    text: str
    whole: bool = False


_ANY = Head("")
# Where the plain beginning of a pattern ends.
_REGEX_STOP = re.compile(r"[\\.^$*+?{}\[\]|()]")
_PATH_STOP = {"keyMatch2": re.compile(r"[:\\.^$*+?{}\[\]|()]")}
_GLOB_STOP = re.compile(r"[*?\[\]{}()\\!|@+~-]")
_QUANTIFIERS = frozenset("*?{+")
# To a glob they are one.
_SLASHES = re.compile("//+")


def head_of(function: str, pattern: str) -> Head:
    """The head of a pattern."""
    if function == "keyMatch":
        prefix, star, _ = pattern.partition("*")
        return Head(prefix, not star)
    if function == "globMatch":
        return _glob_head(pattern)
    if function == "regexMatch":
        return Head(_regex_head(function, pattern.removeprefix("^")).text)
    return _regex_head(function, pattern)


def _regex_head(function: str, pattern: str) -> Head:
    stop = _PATH_STOP.get(function, _REGEX_STOP).search(pattern)
    if stop is None:
        return Head(pattern, whole=True)
    if "|" in pattern:
        return _ANY
    at = stop.start()
    # A quantifier is about the character before it; "/*" is none, and neither is "{id}".
    if pattern[at] in _QUANTIFIERS and not _is_placeholder(function, pattern, at):
        at -= 1
    return Head(pattern[:at]) if at > 0 else _ANY


def _is_placeholder(function: str, pattern: str, at: int) -> bool:
    if function == "regexMatch":
        return False
    if pattern[at] == "*":
        return pattern[at - 1 : at] == "/"
    return function != "keyMatch2" and PLACEHOLDERS[function].match(pattern, at) is not None


def _glob_head(pattern: str) -> Head:
    if pattern.startswith("*/"):
        return _ANY
    stop = _GLOB_STOP.search(pattern)
    # "/foo/**" matches "/foo" too.
    return Head(_SLASHES.sub("/", pattern[: stop.start()] if stop else pattern).rstrip("/"))


def indexed_value(function: str, value: str) -> str:
    """What of a value an index is asked with: heads and anchors are about this."""
    if function == "keyMatch5":
        return value.partition("?")[0]
    return _SLASHES.sub("/", value) if function == "globMatch" else value


def anchors_of(function: str, pattern: str) -> tuple[tuple[int, str], ...]:
    """Segments that every text that a pattern matches has between slashes: (which one, or -1: anywhere; text)."""
    translation = translated(function, pattern) if function in PLACEHOLDERS else ""
    if not is_plain(translation):
        return ()
    found = []
    known = True
    for at, part in enumerate(translation.split("/")):
        if part and _META.isdisjoint(part):
            found.append((at if known else -1, part))
        # "." may be a slash, and "/*" any number of them.
        known = known and "." not in part and "\x01" not in part
    return tuple(found)
