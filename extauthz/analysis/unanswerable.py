"""The one way in which an analysis refuses."""

from __future__ import annotations


class Unanswerable(Exception):  # noqa: N818 - a reason, not an error
    """Why a question about a policy has no exact answer here. Guessing is not the alternative."""
