"""The last check of an answer: its examples are put to the engine itself, which has to agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from extauthz.analysis.unanswerable import Unanswerable
from extauthz.engine import EnforceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from extauthz.engine import Engine, Verdict
    from extauthz.engine.rows import Row


def confirm(engine: Engine, request: Sequence[str], roles: Sequence[str], *, allowed: bool) -> Verdict:
    """The engine's verdict. Raises Unanswerable where it answers otherwise: an analysis that errs says nothing."""
    try:
        verdict = engine.enforce(*request, roles=roles)
    except EnforceError as error:
        raise Unanswerable(f"the policy fails on {' '.join(request)}: {error}") from error
    if verdict.allowed is not allowed:
        raise Unanswerable(f"the engine disagrees about {' '.join(request)}: please report this")
    return verdict


def confirm_rule(
    engine: Engine, request: Sequence[str], roles: Sequence[str], row: Row | None, *, allowed: bool
) -> None:
    """As `confirm`, and the engine has to name the same rule."""
    verdict = confirm(engine, request, roles, allowed=allowed)
    if verdict.line != (row.line if row else None):
        raise Unanswerable(f"the engine decides {' '.join(request)} by another rule: please report this")
