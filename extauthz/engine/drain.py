"""Lets go of large containers a little at a time: to free a million objects at once would hold the interpreter."""

from __future__ import annotations

from typing import Any

# Freed between two moments at which another thread may go on.
_SLICE = 256


def drain(*containers: list[Any] | dict[Any, Any] | set[Any]) -> None:
    """Empty containers that nobody looks at any more."""
    for container in containers:
        if isinstance(container, list):
            while container:
                del container[-_SLICE:]
        elif isinstance(container, dict):
            while container:
                container.popitem()
        else:
            while container:
                container.pop()
