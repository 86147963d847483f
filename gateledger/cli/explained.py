"""An explanation, as lines for people and as an object for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from extauthz.analysis.matching import Matched
    from extauthz.explanation import Explanation


def lines_of(explanation: Explanation) -> list[str]:
    lines = [f"{explanation.effect.value}  {explanation.reason_code.value}: {explanation.reason}"]
    if explanation.rule:
        lines.append(f"  rule   {explanation.path}:{explanation.line}: {explanation.rule}")
    if len(explanation.role_path) > 1:
        lines.append(f"  roles  {' → '.join(explanation.role_path)}")
    if explanation.matching is not None:
        lines.append(f"  effect {explanation.effect_rule}")
        lines.extend(_matched_line(explanation, matched) for matched in explanation.matching)
    for near in explanation.nearest:
        lines.append(f"  near   {explanation.path}:{near.row.line}: {near.row.text}")
        lines.extend(f"           not {clause}" for clause in near.failed)
    return lines


def _matched_line(explanation: Explanation, matched: Matched) -> str:
    path = f"  ({' → '.join(matched.role_path)})" if len(matched.role_path) > 1 else ""
    return f"  match  {explanation.path}:{matched.row.line}: {matched.row.text}{path}"


def plain_of(explanation: Explanation) -> dict[str, Any]:
    return {
        "effect": explanation.effect.value,
        "reason_code": explanation.reason_code.value,
        "reason": explanation.reason,
        "rule": explanation.rule or None,
        "line": explanation.line,
        "role_path": list(explanation.role_path),
        "nearest": [
            {"line": near.row.line, "rule": near.row.text, "failed": list(near.failed)}
            for near in explanation.nearest
        ],
        "matching": None
        if explanation.matching is None
        else [
            {"line": one.row.line, "rule": one.row.text, "role_path": list(one.role_path)}
            for one in explanation.matching
        ],
        "effect_rule": explanation.effect_rule,
        "policy_version": explanation.version,
    }
