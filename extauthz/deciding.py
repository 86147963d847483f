"""What decides by a policy: one engine in this process (here), or those of several workers (extauthz.workers)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from extauthz.decide import Snapshot
from extauthz.engine import NO_EXTENSIONS, Engine, Extensions, Finding, PolicyError, Severity
from extauthz.engine.finding import told
from extauthz.pace import considerate, let_go

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from access import ReasonCode
    from extauthz.engine import Mode, Source

    Keep = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Loaded:
    """What there is to tell of a policy that decides."""

    version: str
    mode: Mode
    fallback_reason: str
    rules: int
    findings: tuple[str, ...]


class Decider(Protocol):
    """One policy at a time decides, the same wherever it does."""

    async def take(self, source: Source, keep: Keep) -> Loaded:
        """Have the policy decide, once it is loaded and `keep` has come back.

        Raises PolicyError for one that is refused, and what `keep` raises: then the one before decides on.
        """
        ...

    async def without(self, code: ReasonCode, reason: str) -> None:
        """Until a policy decides, this is why none does."""
        ...

    async def let_go(self) -> None:
        """Free what was replaced."""
        ...


class LocalDecider:
    """The engine of this process. `snapshot` is what decides; a swap is one reference."""

    def __init__(self, request: Sequence[str], extensions: Extensions = NO_EXTENSIONS) -> None:
        self._request = tuple(request)
        self._extensions = extensions
        self._snapshot = Snapshot(None)
        self._next: Engine | None = None
        self._replaced: list[Engine] = []

    def snapshot(self) -> Snapshot:
        """The policy that decides now."""
        return self._snapshot

    async def take(self, source: Source, keep: Keep) -> Loaded:
        loaded = await self.prepare(source)
        try:
            await keep()
        except BaseException:
            self.drop()
            raise
        self.swap()
        return loaded

    async def prepare(self, source: Source) -> Loaded:
        """Load the policy, for `swap` or `drop`. Raises PolicyError."""
        try:
            engine = await asyncio.to_thread(_built, source, self._request, self._extensions)
        except PolicyError:
            raise
        except Exception as error:
            # A policy that breaks the loader must not stop the service.
            raise PolicyError([_defect(source, error)]) from error
        self._next = engine
        findings = tuple(told(engine.findings))
        return Loaded(engine.version, engine.mode, engine.fallback_reason, len(engine.rules), findings)

    def swap(self) -> None:
        """From now on what was prepared decides."""
        if self._next is None:
            return
        if self._snapshot.engine is not None:
            self._replaced.append(self._snapshot.engine)
        self._snapshot, self._next = Snapshot(self._next), None

    def drop(self) -> None:
        """What was prepared will not decide."""
        self._next = None

    async def without(self, code: ReasonCode, reason: str) -> None:
        if self._snapshot.engine is None:
            self._snapshot = Snapshot(None, code, reason)

    async def let_go(self) -> None:
        while self._replaced:
            await asyncio.to_thread(let_go, [self._replaced.pop()])


def _built(source: Source, request: Sequence[str], extensions: Extensions) -> Engine:
    with considerate():
        return Engine.from_source(source, request, extensions)


def _defect(source: Source, error: Exception) -> Finding:
    message = f"cannot be loaded: {type(error).__name__}: {error}; this is a defect of gateledger"
    return Finding(source.policy_path, 0, Severity.ERROR, "defect", message)
