"""Values that a parameter may have, as a query's header says: `allow,deny` or `0..24`. Pure.

A value that no row can have would give an empty answer, which an auditor would take for "there was none".
"""

from __future__ import annotations

from audit.errors import ParameterError


def check(text: str, allowed: str, type_: str) -> None:
    """Raise ParameterError when the value, or an element of a list, is not allowed. The empty text always is."""
    parts = text.split(",") if type_.startswith("Array") else [text]
    for part in (part.strip() for part in parts):
        if part and allowed and not _is_allowed(part, allowed):
            raise ParameterError(f"{part!r} is none of what it may be: {allowed.replace(',', ', ')}")


def _is_allowed(part: str, allowed: str) -> bool:
    least, dots, most = allowed.partition("..")
    if not dots:
        return part in allowed.split(",")
    # What is no number is refused by its type, in better words.
    return not part.isdecimal() or int(least) <= int(part) <= int(most)
