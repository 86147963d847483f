"""Merges in the background yield to queries: their threads run at a lower priority of the kernel.

A merge costs a row about as much as its insert did. On a small machine it would take half of a burst's
processor time; like this it catches up once the burst is over.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path

_TASKS = Path("/proc/self/task")
# What the engine calls the threads of its merges; it makes them with the first table.
_NAME = "MergeMutate"
_NICE = 19
_LOOK_SECONDS = 1.0


async def yielding() -> None:
    """Lower the priority of every merging thread, for ever."""
    known: set[int] = set()
    while True:
        await asyncio.to_thread(lower, known)
        await asyncio.sleep(_LOOK_SECONDS)


def lower(known: set[int]) -> None:
    """Lower those that are not known yet. Where the kernel has no such threads nothing happens."""
    with suppress(OSError):
        for task in _TASKS.iterdir():
            if int(task.name) not in known:
                _lower(task, known)


def _lower(task: Path, known: set[int]) -> None:
    # Not known before it has its name: a thread is named a moment after it was made, or may be gone already.
    with suppress(OSError):
        if (task / "comm").read_text(encoding="utf-8").strip() == _NAME:
            os.setpriority(os.PRIO_PROCESS, int(task.name), _NICE)
            known.add(int(task.name))
