"""Merges in the background yield to queries: their threads run when a processor would be idle (SCHED_IDLE).

A merge costs a row about as much as its insert did. On a small machine it would take half of a burst's
processor time; like this it catches up once the burst is over. It is a loan with a limit: the ledger's tables
say from how many parts on an INSERT waits (parts_to_delay_insert), which gives merges their time. The threads
do not come back from SCHED_IDLE, for only root could bring them.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path

_TASKS = Path("/proc/self/task")
# What the engine calls the threads of its merges; it makes them with the first table.
_NAME = "MergeMutate"
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
            os.sched_setscheduler(int(task.name), os.SCHED_IDLE, os.sched_param(0))
            known.add(int(task.name))
