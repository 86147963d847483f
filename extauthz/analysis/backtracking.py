"""Regular expressions in which a search can go wrong in more ways than anyone can wait for."""

from __future__ import annotations

import re
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

from extauthz.analysis.ambiguity import is_ambiguous

# What repeats has one of these; anything else is passed over quickly.
_REPEATS = re.compile(r"[*+}]")
_GREEDY = frozenset({codes.MAX_REPEAT, codes.MIN_REPEAT})


def backtracks(expression: str) -> str:
    """Why a search with an expression can take for ever, in words; empty if it cannot.

    (a+)+ needs twice the time for each further letter, and so does (a|ab|b)*. Those without another way out, as
    (/[^/]+)+ where each turn begins with a letter that the inner one cannot take, are not told.
    """
    if not _REPEATS.search(expression):
        return ""
    try:
        parsed = parser.parse(expression)
    except (re.error, RecursionError, OverflowError):
        return ""
    repeated = _within(parsed)
    if repeated:
        return f"a repetition within a repetition ({repeated})"
    return "a repetition that can read one text in many ways" if is_ambiguous(expression) else ""


def _within(items: Any) -> str:
    for code, argument in items:
        if code in _GREEDY:
            least, most, body = argument
            if most is codes.MAXREPEAT and _ambiguous(body):
                return f"{{{least},}} around another"
        for inner in _bodies(code, argument):
            found = _within(inner)
            if found:
                return found
    return ""


def _ambiguous(body: Any) -> bool:
    """Whether a turn can end at several places: it is a repetition itself, or begins or ends with one."""
    items = list(body)
    while len(items) == 1 and items[0][0] is codes.SUBPATTERN:
        items = list(items[0][1][3])
    if not items:
        return False
    return any(_endless(item) for item in (items[0], items[-1])) and all(
        _endless(item) or _optional(item) for item in items
    )


def _endless(item: Any) -> bool:
    code, argument = item
    if code is codes.SUBPATTERN:
        body = list(argument[3])
        return len(body) == 1 and _endless(body[0])
    return code in _GREEDY and argument[1] is codes.MAXREPEAT


def _optional(item: Any) -> bool:
    code, argument = item
    return code in _GREEDY and argument[0] == 0


def _bodies(code: Any, argument: Any) -> list[Any]:
    if code in _GREEDY:
        return [argument[2]]
    if code is codes.SUBPATTERN:
        return [argument[3]]
    if code is codes.BRANCH:
        return list(argument[1])
    return []
