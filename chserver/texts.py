"""Texts in a statement that the engine reads as SQL of their own, where no walk through the tree looks. Pure.

Both evaluate what they hold, whatever the reader's rights: `arrayReduce('groupConcat(file(…))', …)` and
`values('a String ALIAS file(…)', …)` read any file. So they may hold names, types and plain values only.
"""

from __future__ import annotations

import re

_STRING = r"'[^'\\]*'"
_VALUE = rf"(?:-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|{_STRING})"
_AGGREGATE = re.compile(
    rf"[ ]*([A-Za-z_][A-Za-z0-9_]*)[ ]*(?:\([ ]*(?:{_VALUE}(?:[ ]*,[ ]*{_VALUE})*)?[ ]*\))?[ ]*"
)
# A column may have nothing but a name and a type: each other word behind the name belongs to an expression.
_TOKEN = re.compile(rf"[ ]*([A-Za-z_][A-Za-z0-9_]*|-?[0-9]+|{_STRING}|[(),=])")
_WITH_ARGUMENTS = frozenset(
    {
        "array", "datetime", "datetime64", "decimal", "decimal128", "decimal256", "decimal32", "decimal64", "enum",
        "enum16", "enum8", "fixedstring", "lowcardinality", "map", "nullable", "tuple", "variant",
    }
)  # fmt: skip
_EXPRESSION = frozenset(
    {
        "alias",
        "codec",
        "collate",
        "comment",
        "constraint",
        "default",
        "ephemeral",
        "index",
        "materialized",
        "ttl",
    }
)


def aggregate(text: str) -> str | None:
    """The name in an aggregate function's text, such as quantile(0.5); None where it holds more than plain values."""
    found = _AGGREGATE.fullmatch(text)
    return found[1] if found else None


def plain_columns(text: str) -> bool:
    """Whether a list of columns, such as `a UInt8, b Array(String)`, holds names and types alone."""
    at, before = 0, ""
    text = text.rstrip(" ")
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            return False
        word = found[1].lower()
        if word in _EXPRESSION or (word == "(" and before not in _WITH_ARGUMENTS):
            return False
        at, before = found.end(), word
    return True
