"""An explanation, as lines for people and as an object for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from extauthz.explanation import Explanation


def lines_of(explanation: Explanation) -> list[str]:
    lines = [f"{explanation.effect.value}  {explanation.reason_code.value}: {explanation.reason}"]
    if explanation.rule:
        lines.append(f"  rule   {explanation.path}:{explanation.line}: {explanation.rule}")
    if len(explanation.role_path) > 1:
        lines.append(f"  roles  {' → '.join(explanation.role_path)}")
    for near in explanation.nearest:
        lines.append(f"  near   {explanation.path}:{near.row.line}: {near.row.text}")
        lines.extend(f"           not {clause}" for clause in near.failed)
    return lines


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
        "policy_version": explanation.version,
    }
