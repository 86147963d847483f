"""One job: segments of one spool, planned together, frozen, stored and booked. On a thread of the writer's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ledger.errors import StuckError
from ledger.manifest import Frozen, frozen
from ledger.plan import Torn, loads, plan
from spool import Damage

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from ledger.manifest import Manifest
    from ledger.plan import Limits
    from ledger.store import Store
    from spool import Record, Segment


class StoppedError(OSError):
    """Asked to stop between two loads: the segments stay, and what is stored of them will be found."""


@dataclass(slots=True)
class Job:
    """`plan`: as it stands in the manifest, None before it does. `tried`: something of it may be in
    ClickHouse, or on its way. `held`: it is stored, and will be looked for once more.
    """

    directory: Path
    segments: tuple[Segment, ...]
    plan: Frozen | None = None
    tried: bool = False
    held: bool = False

    @property
    def name(self) -> str:
        return self.plan.name if self.plan else self.segments[0].name


@dataclass(frozen=True, slots=True)
class Progress:
    """What a step of a job came to."""

    job: str
    kind: str = ""
    rows: int = 0
    batches: int = 0
    kept: int = 0
    cause: str = ""
    repaired: int = 0
    policy: str = ""


@dataclass(frozen=True, slots=True)
class Around:
    """What all jobs share: whom to tell, when to stop, how large a batch may be."""

    tell: Callable[[Progress], None]
    stop: threading.Event
    limits: Limits


def work(store: Store, manifest: Manifest, job: Job, around: Around) -> None:
    """Store and book all of the job. May be repeated until it succeeds.

    Raises StuckError for what does not add up, SpoolError for segments that cannot be read, and
    clickhouse_connect's errors and OSError: nothing is lost, try again.
    """
    tell, limits = around.tell, around.limits
    if job.plan:
        limits = replace(limits, rows=job.plan.max_rows, bytes=job.plan.max_bytes)
    todo = plan(job.segments[0].name, _items(job.segments), limits)
    made = frozen([segment.name for segment in job.segments], todo.batches, limits)
    if job.plan != made:
        if job.plan is not None:
            _refuse_stored(store, job.plan, made)
        manifest.freeze(made)
        job.plan = made
    for policy in todo.policies:
        if store.policy(policy):
            tell(Progress(job.name, policy=policy.version))
    for read in todo.counters:
        store.counters(read)
    for unparsed in todo.unparsed:
        tell(Progress(job.name, kept=store.unparsed(unparsed), cause=unparsed.cause))
    for load in loads(todo.batches, limits):
        if around.stop.is_set():
            raise StoppedError("the writer stops")
        done = store.load(load, tried=job.tried)
        cause = f"see audit.unparsed, batch {load.batches[0].id} and on"
        tell(Progress(job.name, load.kind, done.rows, done.batches, done.entries_kept, cause, done.repaired))


def _refuse_stored(store: Store, before: Frozen, now: Frozen) -> None:
    """Segments that are not what they were, or that another version plans otherwise, may make other batches
    only if nothing of the first ones is stored.
    """
    rows = store.rows_of(before.ids)
    if rows:
        raise StuckError(
            f"the segments of {before.name} are not what they were when their batches were planned ({before.rows} "
            f"rows then, {now.rows} now), and {rows} rows are stored; they stay in the spool"
        )


def _items(segments: Sequence[Segment]) -> Iterator[Record | Torn]:
    for segment in segments:
        for item in segment.salvage(views=True):
            if isinstance(item, Damage):
                torn = segment.read()[item.offset : item.offset + item.length]
                yield Torn(f"{segment.path.name}: offset {item.offset}: {item.cause}", torn)
            else:
                yield item
