"""Patterns that people read otherwise than Casbin does: wider than they look, or narrower.

What is surely not meant is an error (`misread`), what hardly is a warning (`expression`). Each claim is held
against pycasbin's own functions in tests/unit/extauthz/test_pattern_reading.py.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from extauthz.engine.translation import PLACEHOLDERS, translated

if TYPE_CHECKING:
    from extauthz.engine.column import Column
    from extauthz.engine.finding import Report

# What needs no second look: plain segments, variables of a plain name, "/*" in the end.
_CLEAN = {
    "keyMatch": re.compile(r"[^*]*\*?"),
    "keyMatch2": re.compile(r"\*|(?:/(?:[A-Za-z0-9_~@=%!&' -]+|:[A-Za-z0-9_-]+(?![^/]))?)*(?:/\*)?"),
    **dict.fromkeys(
        ("keyMatch3", "keyMatch4", "keyMatch5"),
        re.compile(r"(?:/(?:[A-Za-z0-9_~@=%!&' -]+|\{[A-Za-z0-9_-]+\}(?![^/]))?)*(?:/\*)?"),
    ),
}
FUNCTIONS = frozenset(_CLEAN)
# What needs no look at all (it is an expression, a path, and clean): one pattern a line, many at a time.
_TAME = r"/(?:{segment}/)*+(?:{segment}|\*)?"
TAME = {
    function: re.compile(f"(?:{lines}\n)*+{lines}")
    for function, variable in {
        "keyMatch2": ":[A-Za-z0-9_-]++",
        **dict.fromkeys(("keyMatch3", "keyMatch4", "keyMatch5"), r"\{[A-Za-z0-9_-]++\}"),
    }.items()
    for lines in [_TAME.format(segment=f"(?:[A-Za-z0-9_~@=%!&'-]++|{variable})")]
}
_VARIABLE = re.compile(r"(?P<before>[^/]?):(?P<name>[^/]+)")
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_ESCAPED = re.compile(r"\\[^A-Za-z0-9]")
# Groups and classes, for finding a bar outside of them.
_ENCLOSED = re.compile(r"\[[^\]]*\]|\([^()]*\)")
_REPEATED = re.compile(r"[A-Za-z0-9_~@=%!&' -]\*")
_EXPRESSION = re.compile(r"[\\.^$*+?{}\[\]()]")

Doubt = tuple[str, str]


def check(rules: Column, field: int, function: str, report: Report) -> None:
    """Findings about a field of the rules that this function reads."""
    tell = {"misread": report.error, "expression": report.warning}

    def doubt(pattern: str) -> Doubt | None:
        return misreading(function, pattern)

    rules.odd(field, function).check(
        field, doubt, lambda line, code, message: tell[code](line, code, message)
    )


def is_clean(function: str, pattern: str) -> bool:
    """Whether a pattern is read by everyone as Casbin reads it."""
    return _CLEAN[function].fullmatch(pattern) is not None


def misreading(function: str, pattern: str) -> Doubt | None:
    """A code and a message where Casbin does not read a pattern as people do."""
    if is_clean(function, pattern):
        return None
    if function == "keyMatch":
        start = pattern.partition("*")[0]
        return _misread(
            pattern,
            f"keyMatch ignores what stands behind the first *; this matches all that begins with {start!r}",
        )
    return _bar(pattern) or _variable(function, pattern) or _star(pattern) or _expression(function, pattern)


def _misread(pattern: str, problem: str) -> Doubt:
    return "misread", f"{pattern!r}: {problem}"


def _bar(pattern: str) -> Doubt | None:
    rest = _ESCAPED.sub("", pattern)
    while (inner := _ENCLOSED.sub("", rest)) != rest:
        rest = inner
    if "|" not in rest:
        return None
    start = rest.partition("|")[0]
    return _misread(
        pattern,
        f"'|' parts the whole expression: all that begins with {start!r} matches; write one row for each",
    )


def _variable(function: str, pattern: str) -> Doubt | None:
    if function == "keyMatch2":
        for found in _VARIABLE.finditer(pattern):
            if not _NAME.fullmatch(found["name"]):
                shown = f":{found['name']}"
                return _misread(
                    pattern,
                    f"{shown!r} is one variable, any text up to the next slash; nothing can follow its name",
                )
            if found["before"]:
                message = f"{pattern!r}: ':{found['name']}' is a variable also within a segment, any text up to its end"
                return "expression", message
        return None
    if function != "keyMatch3":
        for token in PLACEHOLDERS[function].finditer(pattern):
            if set("{}") & set(token[0][1:-1]):
                return _misread(
                    pattern, f"{token[0]!r} is one variable to {function}; use one variable a segment"
                )
    if "/:" in pattern:
        return (
            "expression",
            f"{pattern!r}: ':' is plain text to {function}, which writes variables as {{name}}",
        )
    return None


def _star(pattern: str) -> Doubt | None:
    repeated = _REPEATED.search(_ESCAPED.sub("", pattern))
    if repeated and pattern != "*":
        return _misread(
            pattern,
            f"'*' repeats the {repeated[0][0]!r} before it (none, or many), and stands for nothing else; "
            "'/*' is all below a path",
        )
    return None


def _expression(function: str, pattern: str) -> Doubt | None:
    if function == "keyMatch2" and re.search(r"/\{[^/{}]+\}", pattern):
        return "expression", f"{pattern!r}: '{{' is plain text to keyMatch2, which writes variables as :name"
    found = _EXPRESSION.search(_ESCAPED.sub("", translated(function, pattern)))
    if found and found[0] == ".":
        return "expression", f"{pattern!r}: '.' is any character, a slash too; a dot is written \\."
    if found:
        message = (
            f"{pattern!r}: {found[0]!r} is part of an expression; as a character it is written \\{found[0]}"
        )
        return "expression", message
    if "/*" in pattern[:-2]:
        message = (
            f"{pattern!r}: '/*' is any number of segments, also before the end of a path; one is a variable"
        )
        return "expression", message
    return None
