"""What Casbin makes of a pattern of paths: an expression, with stand-ins for what it puts in."""

from __future__ import annotations

import re

# Stand-ins for ".*" and "[^/]+" in a translated pattern; no field of a policy holds control characters.
ANYTHING, SEGMENT = "\x01", "\x02"
# What stands for a segment in each function of paths.
PLACEHOLDERS = {
    "keyMatch2": re.compile(r":[^/]+"),
    "keyMatch3": re.compile(r"{[^/]+?}"),
    "keyMatch4": re.compile(r"{([^/]+)}"),
    "keyMatch5": re.compile(r"{[^/]+}"),
}
_META_NO_DOT = re.compile(r"[\\^$*+?{}\[\]|()]")


def translated(function: str, pattern: str) -> str:
    """A pattern of paths with stand-ins where Casbin puts expressions."""
    return PLACEHOLDERS[function].sub(SEGMENT, pattern.replace("/*", f"/{ANYTHING}"))


def is_plain(translation: str) -> bool:
    """Whether nothing but "." is left in a translated pattern for a regular expression to interpret."""
    return not _META_NO_DOT.search(translation)


def expression_of(translation: str) -> str:
    """The regular expression that Casbin makes of a pattern."""
    return "^" + translation.replace(ANYTHING, ".*").replace(SEGMENT, "[^/]+") + "$"


def check_groups(pattern: str) -> None:
    """Raises ValueError for a keyMatch4 pattern with groups of its own: Casbin fails on all that it matches."""
    translation = translated("keyMatch4", pattern)
    if re.compile(expression_of(translation)).groups:
        raise ValueError("groups other than {name}, on which keyMatch4 fails")
