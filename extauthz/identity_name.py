"""What a verified name must be like to be a subject, and how a template makes one. Pure."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from access.subject import ANONYMOUS_NAME, ROLE_PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_SUBJECT_BYTES = 256
ROLE = re.compile(r"[A-Za-z0-9_.:/@-]{1,128}")
FIELD = re.compile(r"\{([^{}]+)\}")

# Claims that are one and the same in all tokens of an issuer: nobody has a choice there.
_FIXED = frozenset({"iss"})
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Unicode's Default_Ignorable_Code_Point, as far as the categories above do not have it: shown as nothing.
_IGNORABLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8"
    "\U000e0000-\U000e0fff]"
)


class Refused(Exception):  # noqa: N818 - never leaves identity
    """A credential that came and cannot be believed; the message is the cause."""


def filled(template: str, text: Callable[[str], str]) -> str:
    """The subject that a template makes of what `text` gives for each name in braces. Raises Refused."""
    name, *parts = FIELD.split(template)
    for at in range(0, len(parts), 2):
        field, behind = parts[at : at + 2]
        value = text(field)
        # With "{tenant}:{sub}" the tenant "a:b" and the tenant "a" could have one subject in common.
        if at + 2 < len(parts) and field not in _FIXED and (value + behind).find(behind) != len(value):
            raise Refused(f"{field} holds {behind!r}, which ends it in the subject")
        name += value + behind
    if problem := subject_problem(name):
        raise Refused(f"the subject {problem}")
    return name


def subject_problem(name: str) -> str:
    """Why a verified name cannot be a subject, to follow "the subject"; empty when it can."""
    if not name:
        return "is empty"
    if name in {"*", ANONYMOUS_NAME} or name.startswith((f"{ANONYMOUS_NAME}@", ROLE_PREFIX)):
        return "is a name that the policy reserves"
    if problem := _misleading(name):
        return problem
    if name != name.strip():
        return "begins or ends with a space"
    if len(name.encode()) > MAX_SUBJECT_BYTES:
        return f"is longer than {MAX_SUBJECT_BYTES} bytes"
    return ""


def _misleading(name: str) -> str:
    """Why a name could be taken for another one by whoever reads it."""
    if any(unicodedata.category(character) in _INVISIBLE for character in name):
        return "has control characters"
    if _IGNORABLE.search(name):
        return "has invisible characters"
    if not unicodedata.is_normalized("NFC", name):
        return "is not in Unicode's normal form C"
    return ""
