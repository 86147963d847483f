"""The last check of an answer: its examples are put to the engine itself, which has to agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from extauthz.analysis.unanswerable import Unanswerable
from extauthz.engine import EnforceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from extauthz.engine import Engine
    from extauthz.engine.rows import Row


def confirm(
    engine: Engine, request: Sequence[str], roles: Sequence[str], *, allowed: bool, row: Row | None
) -> None:
    """Raises Unanswerable where the engine answers otherwise, or by another rule: an analysis that errs says nothing."""
    try:
        verdict = engine.enforce(*request, roles=roles)
    except EnforceError as error:
        raise Unanswerable(f"the policy fails on {' '.join(request)}: {error}") from error
    if (verdict.allowed, verdict.line) != (allowed, row.line if row else None):
        raise Unanswerable(f"the engine disagrees about {' '.join(request)}: please report this")
