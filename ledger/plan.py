"""What segments of the spool become: batches, and what cannot be one. Pure, and always the same.

Invariants; the tests carry their names:

1. The same segments make the same plan, however often and wherever it is made: a batch keeps its id
   and its rows over every retry and restart. Which segments are planned together stands in the manifest.
2. Every entry is in exactly one batch, in the order of its stream; bytes that are no entry are in
   exactly one `Unparsed`.
3. A batch has one kind, one node, one log name, and one day (UTC) of received_at.
4. A batch is no larger than the limits, but for a single entry that is.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ledger.counters import Counters, counters_from
from ledger.framing import Framing, framing
from ledger.target import TARGETS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from spool import Record

_KINDS = (*TARGETS, "policy", "counters", "unparsed")
_DAY_NS = 86_400 * 10**9
# ClickHouse's DateTime64 ends there; a clock that says more is wrong.
_MAX_NS = 2**63 - 1
# alslog cuts names at 256 bytes; a longer one would not fit into a URL.
_MAX_NAME = 256


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a batch, and a load, may be: one INSERT of one block, so memory on both sides follows
    these. `about_bytes`: what the batches of a load say of their rows, which travels in the URL, where
    servers and proxies commonly take 64 KiB.
    """

    rows: int = 250_000
    bytes: int = 96 * 1024 * 1024
    about_bytes: int = 24 * 1024


@dataclass(frozen=True, slots=True)
class Source:
    """Where entries come from: what all rows of a batch share."""

    kind: str
    node: str
    log_name: str


@dataclass(frozen=True, slots=True)
class Batch:
    """What is stored, checked and booked as one; made by `batch_of`. `parts`: its entries byte by byte as
    Envoy sent them, in pieces; `sha256`: of these bytes, hex; `received_at`: unix ns.
    """

    id: str
    source: Source
    received_at: int
    # Equal where their digests are: pieces of many megabytes are not compared.
    parts: tuple[bytes | memoryview, ...] = field(repr=False, compare=False)
    rows: int
    size: int
    sha256: str
    # The number of its first row: not 0 only where what is missing of a batch is sent again.
    first: int = 0

    @property
    def payload(self) -> bytes:
        """In one piece: a copy."""
        return b"".join(self.parts)


@dataclass(frozen=True, slots=True)
class Load:
    """One INSERT: batches of one kind and one day, one behind the other."""

    batches: tuple[Batch, ...]

    @property
    def kind(self) -> str:
        return self.batches[0].source.kind

    @property
    def rows(self) -> int:
        return sum(batch.rows for batch in self.batches)

    @property
    def size(self) -> int:
        return sum(batch.size for batch in self.batches)

    @property
    def token(self) -> str:
        """The same for the same batches with the same bytes, and for no others."""
        said = [[batch.id, batch.first, batch.rows, batch.sha256] for batch in self.batches]
        return f"{self.batches[0].id}+{hashlib.sha256(json.dumps(said).encode()).hexdigest()[:32]}"


@dataclass(frozen=True, slots=True)
class Unparsed:
    """Bytes that are no entry: kept raw in a file named after `id`. `entries`: how many of `batch`; 0: unknown."""

    id: str
    source: Source
    received_at: int
    cause: str
    payload: bytes
    batch: str = ""
    entries: int = 0


@dataclass(frozen=True, slots=True)
class Torn:
    """Bytes of a segment that are no record any more, and why."""

    cause: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Policy:
    """A model and policy text that decides, from extauthz's journal. `received_at`: unix ns."""

    version: str
    received_at: int
    model: str
    policy: str
    model_path: str
    policy_path: str
    node: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The work that a segment asks for."""

    batches: tuple[Batch, ...]
    unparsed: tuple[Unparsed, ...]
    policies: tuple[Policy, ...]
    counters: tuple[Counters, ...] = ()


@dataclass(slots=True)
class _Open:
    """A batch that still grows."""

    number: int
    source: Source
    received_at: int
    size: int = 0
    rows: int = 0
    parts: list[bytes | memoryview] = field(default_factory=list)

    def fits(self, received_at: int, rows: int, size: int, limits: Limits) -> bool:
        same_day = self.received_at // _DAY_NS == received_at // _DAY_NS
        return same_day and self.rows + rows <= limits.rows and self.size + size <= limits.bytes


class _Planner:
    """One pass over the records of one segment."""

    def __init__(self, segment: str, limits: Limits) -> None:
        self._segment = segment
        self._limits = limits
        self._open: dict[Source, _Open] = {}
        self._opened: list[_Open] = []
        self.unparsed: list[Unparsed] = []
        self.policies: list[Policy] = []
        self.counters: list[Counters] = []

    def add(self, number: int, item: Record | Torn) -> None:
        """Take item `number` of the segment."""
        if isinstance(item, Torn):
            self._keep(number, {}, item.cause, item.payload)
            return
        origin: dict[str, Any] = {}
        try:
            origin = _origin(item.origin)
            if origin["kind"] in TARGETS:
                self._entries(number, origin, item.payload)
            elif origin["kind"] == "policy":
                self.policies.append(_policy(origin, bytes(item.payload)))
            elif origin["kind"] == "counters":
                self.counters.append(counters_from(origin, bytes(item.payload)))
            else:
                self._keep(number, origin, str(origin.get("cause", "")) or "not said", item.payload)
        except (ValueError, KeyError, TypeError) as error:
            cause = (
                f"a record that cannot be read: {type(error).__name__}: {error}; its origin: {item.origin!r}"
            )
            self._keep(number, origin, cause, item.payload)

    def batches(self) -> tuple[Batch, ...]:
        return tuple(
            batch_of(
                f"{self._segment}.{open_.number}", open_.source, open_.received_at, open_.parts, open_.rows
            )
            for open_ in self._opened
        )

    def _entries(self, number: int, origin: dict[str, Any], payload: bytes | memoryview) -> None:
        source, received_at = _source(origin), origin["received_at"]
        entries = origin.get("entries")
        if (
            isinstance(entries, int)
            and 0 < entries <= self._limits.rows
            and len(payload) <= self._limits.bytes
        ):
            # Counted by the receiver, which passes on nothing but entries: no look at each of them here.
            self._take(source, received_at, payload, entries)
            return
        found = framing(payload)
        for part, rows in _pieces(payload, found, self._limits):
            self._take(source, received_at, part, rows)
        if found.end < len(payload):
            cause = (
                f"after {len(found.entries)} entries, at byte {found.end} of {len(payload)}: {found.cause}"
            )
            self._keep(number, origin, cause, payload[found.end :])

    def _take(self, source: Source, received_at: int, part: bytes | memoryview, rows: int) -> None:
        batch = self._batch(source, received_at, rows, len(part))
        batch.parts.append(part)
        batch.size += len(part)
        batch.rows += rows
        batch.received_at = received_at

    def _batch(self, source: Source, received_at: int, rows: int, size: int) -> _Open:
        batch = self._open.get(source)
        if batch is None or not batch.fits(received_at, rows, size, self._limits):
            batch = _Open(len(self._opened), source, received_at)
            self._open[source] = batch
            self._opened.append(batch)
        return batch

    def _keep(self, number: int, origin: dict[str, Any], cause: str, payload: bytes | memoryview) -> None:
        received_at = origin.get("received_at", _named_time(self._segment))
        id_ = f"{self._segment}.record-{number}"
        self.unparsed.append(Unparsed(id_, _source(origin), received_at, cause, bytes(payload)))


def batch_of(
    id_: str, source: Source, received_at: int, parts: Iterable[bytes | memoryview], rows: int
) -> Batch:
    """A batch of these entries."""
    kept = tuple(parts)
    digest = hashlib.sha256()
    for part in kept:
        digest.update(part)
    return Batch(id_, source, received_at, kept, rows, sum(map(len, kept)), digest.hexdigest())


def plan(segment: str, items: Iterable[Record | Torn], limits: Limits = Limits()) -> Plan:
    """The work that items of the segment named `segment`, and of those planned with it, ask for."""
    planner = _Planner(segment, limits)
    for number, item in enumerate(items):
        planner.add(number, item)
    return Plan(planner.batches(), tuple(planner.unparsed), tuple(planner.policies), tuple(planner.counters))


def loads(batches: Iterable[Batch], limits: Limits = Limits()) -> tuple[Load, ...]:
    """The batches, in as few INSERTs as the limits allow; every INSERT costs some 50 ms of its own."""
    open_: dict[tuple[str, int], list[Batch]] = {}
    made: list[list[Batch]] = []
    for batch in batches:
        key = (batch.source.kind, batch.received_at // _DAY_NS)
        if key not in open_ or not _fits(open_[key], batch, limits):
            open_[key] = []
            made.append(open_[key])
        open_[key].append(batch)
    return tuple(Load(tuple(each)) for each in made)


def _fits(those: list[Batch], batch: Batch, limits: Limits) -> bool:
    return (
        sum(_about_bytes(each) for each in those) + _about_bytes(batch) <= limits.about_bytes
        and sum(each.rows for each in those) + batch.rows <= limits.rows
        and sum(each.size for each in those) + batch.size <= limits.bytes
    )


def _about_bytes(batch: Batch) -> int:
    """About what the batch adds to a URL."""
    return len(quote(json.dumps([batch.id, batch.source.node, batch.source.log_name, batch.received_at])))


def without(batch: Batch, gone: Iterable[range]) -> Batch:
    """The batch without the entries of these numbers; its id stays."""
    left_out = {number for numbers in gone for number in numbers}
    payload = batch.payload
    spans = framing(payload).entries
    kept = [payload[start:end] for number, (start, end) in enumerate(spans) if number not in left_out]
    return batch_of(batch.id, batch.source, batch.received_at, kept, len(kept))


def missing(batch: Batch, stored: Iterable[int]) -> tuple[Batch, ...]:
    """What of the batch is not among the stored numbers: pieces of neighbouring entries, each with the
    number of its first.
    """
    payload = batch.payload
    spans = framing(payload).entries
    there = set(stored)
    pieces: list[Batch] = []
    first = None
    for number in range(batch.rows + 1):
        if number < batch.rows and number not in there:
            first = number if first is None else first
        elif first is not None:
            part = payload[spans[first][0] : spans[number - 1][1]]
            piece = batch_of(batch.id, batch.source, batch.received_at, [part], number - first)
            pieces.append(replace(piece, first=first))
            first = None
    return tuple(pieces)


def _pieces(
    payload: bytes | memoryview, found: Framing, limits: Limits
) -> Iterator[tuple[bytes | memoryview, int]]:
    """The entries as bytes and count: in one piece where they fit into a batch, else entry by entry."""
    if found.whole(payload) and len(found.entries) <= limits.rows and len(payload) <= limits.bytes:
        if payload:
            yield payload, len(found.entries)
        return
    for start, end in found.entries:
        yield payload[start:end], 1


def _origin(text: bytes) -> dict[str, Any]:
    origin = json.loads(text)
    if not isinstance(origin, dict) or origin.get("kind") not in _KINDS:
        raise ValueError(f"the kind is none of {', '.join(_KINDS)}")
    received_at = origin["received_at"]
    if not isinstance(received_at, int) or not 0 <= received_at <= _MAX_NS:
        raise ValueError("received_at is no time in ns since 1970")
    return origin


def _source(origin: dict[str, Any]) -> Source:
    return Source(*(_name(origin.get(key, "")) for key in ("kind", "node", "log_name")))


def _name(said: object) -> str:
    """A name that can be sent: cut, and without what UTF-8 cannot hold."""
    return str(said)[:_MAX_NAME].encode("utf-8", "replace").decode()


def _policy(origin: dict[str, Any], payload: bytes) -> Policy:
    said = json.loads(payload)
    texts = {key: said[key] for key in ("model", "policy", "model_path", "policy_path", "node")}
    if not all(isinstance(text, str) for text in (origin["version"], *texts.values())):
        raise TypeError("a policy's fields must be texts")
    return Policy(origin["version"], origin["received_at"], **texts)


def _named_time(segment: str) -> int:
    """The time that a segment's name begins with, unix ns: for what says no time itself."""
    digits = segment.partition("-")[0]
    return min(int(digits), _MAX_NS) if digits.isdecimal() else 0
