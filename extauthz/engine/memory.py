"""A million objects, made and let go without halting the interpreter for long."""

from __future__ import annotations

import contextlib
import gc
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

# Freed between two moments at which another thread may go on.
_SLICE = 256


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """No search for garbage meanwhile: nothing that is made has cycles, and each search looks at all of it."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def drain(*containers: list[Any] | dict[Any, Any] | set[Any]) -> None:
    """Empty containers that nobody looks at any more, a little at a time."""
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
