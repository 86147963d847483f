"""The policy's answer to one request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Reason = Literal["rule_allow", "rule_deny", "no_matching_rule"]


@dataclass(slots=True)
class Verdict:
    """The policy's answer. `rule` holds the deciding row's fields, `text` its line as written.

    Nothing of it changes but `kept`, where whoever asks may keep, at hand, what it makes of this verdict alone.
    """

    allowed: bool
    reason_code: Reason
    rule: tuple[str, ...] | None = None
    line: int | None = None
    text: str = ""
    kept: Any = field(default=None, compare=False, repr=False)


# No rule decided. These are every policy's: what is kept in them must not be one policy's.
UNMATCHED = Verdict(allowed=False, reason_code="no_matching_rule")
UNDENIED = Verdict(allowed=True, reason_code="rule_allow")


def verdict_of(rule: tuple[str, ...], line: int, text: str, *, denies: bool) -> Verdict:
    """The verdict when this rule decides."""
    return Verdict(not denies, "rule_deny" if denies else "rule_allow", rule, line, text)
