"""The policy that decides now, and how another one takes its place.

Invariants:
- a policy decides only after its text is durable in the journal;
- a policy with an error never decides: the last good one stays, and the refusal is told;
- a swap is one reference: a request is decided by one policy, the old or the new;
- files are taken when they rest (extauthz.watched_files), and two looks, apart by LOOK_SECONDS, were equal.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from access import ReasonCode
from extauthz.engine import Finding, PolicyError, Source, read
from extauthz.engine.finding import told
from spool import SpoolError

if TYPE_CHECKING:
    from pathlib import Path

    import structlog

    from extauthz.deciding import Decider, Loaded
    from extauthz.engine import Mode
    from extauthz.metrics import ReloadResult
    from extauthz.watched_files import Signature, WatchedFiles

LOOK_SECONDS = 0.1
# After so many unequal looks in a row the next poll goes on.
_LOOKS = 20


class Recorder(Protocol):
    """Where policy texts are made durable (extauthz.journal.Journal)."""

    def record(self, source: Source) -> None: ...


class Counts(Protocol):
    """What is counted of reloads (extauthz.metrics.Metrics)."""

    def policy(self, version: str, mode: Mode) -> None: ...
    def reload(self, result: ReloadResult) -> None: ...


@dataclass(frozen=True, slots=True)
class Refusal:
    """A policy that did not come to decide. `at` in epoch seconds."""

    version: str
    reason: str
    findings: tuple[Finding, ...]
    at: float


class PolicyStore:
    """Hands policies to a decider. `refresh` and nothing else does, one call at a time."""

    def __init__(
        self,
        files: WatchedFiles,
        decider: Decider,
        journal: Recorder,
        metrics: Counts,
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._files = files
        self._decider = decider
        self._journal = journal
        self._metrics = metrics
        self._log = log
        self._loaded: Loaded | None = None
        self._refusal: Refusal | None = None
        self._seen: Signature | None = None

    @property
    def directories(self) -> tuple[Path, ...]:
        """Where a change of the files shows; behind a ConfigMap's links the directory changes, not the file."""
        return tuple({path.parent for path in self._files.paths})

    def detail(self) -> dict[str, object]:
        """What /readyz says about the policy."""
        loaded, refusal = self._loaded, self._refusal
        return {
            "policy_version": loaded and loaded.version,
            "mode": loaded and loaded.mode,
            "fallback_reason": loaded.fallback_reason if loaded else "",
            "warnings": list(loaded.findings) if loaded else [],
            "refused": refusal
            and {
                "version": refusal.version,
                "reason": refusal.reason,
                "findings": told(refusal.findings),
                "at": refusal.at,
            },
        }

    async def refresh(self) -> None:
        """Look at the files, and swap in what they hold if it is new and good. Raises nothing."""
        signature = self._files.look()
        if signature == self._seen:
            return
        try:
            source = await self._settled()
        except PolicyError as error:
            self._refuse("", error)
            self._seen = signature
            return
        if source is not None and await self._take(source):
            self._seen = signature

    async def _settled(self) -> Source | None:
        """The files if they rest; None while they do not."""
        for _ in range(_LOOKS):
            signature = self._files.look()
            source = await self._read()
            if not self._files.rest((source.model, source.policy)):
                return None
            await asyncio.sleep(LOOK_SECONDS)
            again = await self._read()
            if again.version == source.version and self._files.look() == signature:
                return source
        return None

    async def _read(self) -> Source:
        """The files; one that is away for a moment gets a second chance. Raises PolicyError."""
        try:
            return await asyncio.to_thread(read, *self._files.paths)
        except PolicyError:
            await asyncio.sleep(LOOK_SECONDS)
            return await asyncio.to_thread(read, *self._files.paths)

    async def _take(self, source: Source) -> bool:
        """Whether there is nothing more to do about these files."""
        if self._loaded and self._loaded.version == source.version:
            self._refusal = None
            return True
        try:
            loaded = await self._decider.take(source, lambda: asyncio.to_thread(self._journal.record, source))
        except PolicyError as error:
            self._refuse(source.version, error)
            return True
        except SpoolError as error:
            await self._not_journaled(source.version, error)
            return False
        self._swapped(loaded)
        await self._decider.let_go()
        return True

    def _swapped(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self._refusal = None
        self._metrics.policy(loaded.version, loaded.mode)
        self._metrics.reload("loaded")
        self._log.info("policy loaded", version=loaded.version, rules=loaded.rules, mode=loaded.mode)
        for finding in loaded.findings:
            self._log.warning("policy finding", finding=finding)

    def _refuse(self, version: str, error: PolicyError) -> None:
        if not self._tell(Refusal(version, "the policy has errors", error.findings, time.time())):
            return
        self._metrics.reload("refused")
        kept = self._loaded.version if self._loaded else None
        self._log.error("policy refused", version=version, kept=kept, findings=told(error.findings))

    async def _not_journaled(self, version: str, error: SpoolError) -> None:
        if self._loaded is None:
            await self._decider.without(ReasonCode.AUDIT_UNAVAILABLE, "the policy cannot be recorded")
        if self._tell(Refusal(version, f"the policy cannot be recorded: {error}", (), time.time())):
            self._metrics.reload("not_journaled")
            self._log.error("policy not swapped in, it cannot be recorded", version=version, error=str(error))

    def _tell(self, refusal: Refusal) -> bool:
        """Remember a refusal; whether it is another one than the last."""
        last, self._refusal = self._refusal, refusal
        return last is None or (last.version, last.reason, last.findings) != (
            refusal.version,
            refusal.reason,
            refusal.findings,
        )
