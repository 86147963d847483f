"""When to look at the policy files again: at once after a file event, and regularly without one."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from watchfiles import awatch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

_DEBOUNCE_MS = 20


async def looks(directories: Sequence[Path], seconds: float, stop: asyncio.Event) -> AsyncIterator[None]:
    """Yield whenever a look is due, until `stop`. Where events cannot be had, the clock alone decides."""
    try:
        async for _ in awatch(
            *directories,
            watch_filter=None,
            debounce=_DEBOUNCE_MS,
            step=_DEBOUNCE_MS,
            stop_event=stop,
            rust_timeout=max(1, round(seconds * 1000)),
            yield_on_timeout=True,
            recursive=False,
        ):
            yield
    except (OSError, RuntimeError):
        # No such directory yet, or no inotify watch left.
        while not stop.is_set():
            yield
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), seconds)
