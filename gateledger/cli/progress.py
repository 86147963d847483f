"""How far long work is, on standard error: what is over soon says nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable

# From the start, and between two lines.
TELL_SECONDS = 2.0


def progress(clock: Callable[[], float] = time.monotonic) -> Callable[[str], None]:
    """A function that says what it is given, unless it has said something, or was made, just before."""
    told = clock()

    def tell(text: str) -> None:
        nonlocal told
        if clock() - told >= TELL_SECONDS:
            told = clock()
            click.echo(text, err=True)

    return tell
