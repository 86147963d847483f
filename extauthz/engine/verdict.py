"""The policy's answer to one request."""

from __future__ import annotations

from typing import Literal, NamedTuple

Reason = Literal["rule_allow", "rule_deny", "no_matching_rule"]


class Verdict(NamedTuple):
    """The policy's answer. `rule` holds the deciding row's fields, `text` its line as written."""

    allowed: bool
    reason_code: Reason
    rule: tuple[str, ...] | None = None
    line: int | None = None
    text: str = ""


# No rule decided.
UNMATCHED = Verdict(allowed=False, reason_code="no_matching_rule")
UNDENIED = Verdict(allowed=True, reason_code="rule_allow")


def verdict_of(rule: tuple[str, ...], line: int, text: str, *, denies: bool) -> Verdict:
    """The verdict when this rule decides."""
    return Verdict(not denies, "rule_deny" if denies else "rule_allow", rule, line, text)
