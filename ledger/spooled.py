"""A spool as the writer finds it when it first looks: what waits, and what was begun before and goes on."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ledger.backlog import Backlog
from ledger.job import Job
from ledger.manifest import Manifest
from spool import delete, sealed_segments

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Spooled:
    """One directory: what waits in it, and what of it is somebody's job.

    `begun`: the jobs that its manifest says were not done. `odd`: why segments of it are held back.
    """

    manifest: Manifest
    backlog: Backlog
    taken: set[str]
    begun: tuple[Job, ...]
    odd: tuple[str, ...]


def opened(directory: Path) -> Spooled:
    """The spool, with what its manifest says was begun. Raises StuckError, SpoolError, OSError: try again."""
    manifest = Manifest(directory)
    there = {segment.name: segment for segment in sealed_segments(directory)}
    taken: set[str] = set()
    begun, odd = [], []
    for plan in (*manifest.open, *manifest.finished):
        segments = tuple(there[name] for name in plan.segments if name in there)
        if not segments:
            continue
        taken.update(plan.segments)
        if plan in manifest.finished and len(segments) < len(plan.segments):
            # A crash came in the midst of the deletion.
            delete(segments)
        elif len(segments) == len(plan.segments):
            begun.append(Job(directory, segments, plan=plan, tried=True))
        else:
            gone = sorted(set(plan.segments) - there.keys())
            odd.append(f"segments {gone} are gone, and {plan.name} was not finished")
    return Spooled(manifest, Backlog(directory), taken, tuple(begun), tuple(odd))


def directories(named: Sequence[Path]) -> Iterator[Path]:
    """The spools: each directory that was named, and those in it, where a service has one a worker."""
    for directory in named:
        yield directory
        with contextlib.suppress(OSError):
            yield from sorted(below for below in directory.iterdir() if below.is_dir())
