"""Small models and policies for tests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from extauthz.engine import Source

if TYPE_CHECKING:
    from collections.abc import Mapping

SAMPLE = Path(__file__).parents[2] / "policies"

ALLOW_OVERRIDE = "some(where (p.eft == allow))"
DENY_OVERRIDE = "!some(where (p.eft == deny))"
ALLOW_AND_DENY = "some(where (p.eft == allow)) && !some(where (p.eft == deny))"
PRIORITY = "priority(p.eft) || deny"
SUBJECT_PRIORITY = "subjectPriority(p.eft) || deny"

RBAC = "g(r.sub, p.sub) && keyMatch2(r.obj, p.obj) && r.act == p.act"


def model_text(
    *,
    request: str = "sub, obj, act",
    policy: str = "sub, obj, act, eft",
    roles: Mapping[str, str] | None = None,
    effect: str = ALLOW_AND_DENY,
    matcher: str = RBAC,
) -> str:
    """A model file; by default roles, paths and methods, where a deny overrides."""
    definitions = "\n".join(
        f"{name} = {value}" for name, value in ({"g": "_, _"} if roles is None else roles).items()
    )
    return (
        f"[request_definition]\nr = {request}\n[policy_definition]\np = {policy}\n"
        + (f"[role_definition]\n{definitions}\n" if definitions else "")
        + f"[policy_effect]\ne = {effect}\n[matchers]\nm = {matcher}\n"
    )


def source(policy: str | bytes, model: str | bytes | None = None) -> Source:
    """A model and a policy under the names model.conf and policy.csv."""
    text = model_text() if model is None else model
    return Source(
        "model.conf",
        "policy.csv",
        text.encode() if isinstance(text, str) else text,
        policy.encode() if isinstance(policy, str) else policy,
    )
