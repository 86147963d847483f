"""All workers as one decider: what decides, decides in every one of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from extauthz.deciding import Loaded
from extauthz.engine import Finding, PolicyError, Severity, Source
from extauthz.engine.finding import told
from extauthz.workers.channel import Gone
from extauthz.workers.member import Member, UnusableError
from service.probes import AddressError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import structlog

    from access import ReasonCode
    from extauthz.deciding import Keep
    from extauthz.settings import ExtAuthzSettings
    from extauthz.workers.channel import Message

# Of a policy that ends each worker which loads it, so many tries are enough.
_TRIES = 2
# Above a worker's own drain.
_STOP_MARGIN_SECONDS = 4.0
# Whoever asks for metrics or readiness waits as long at most.
_TELL_SECONDS = 2.0


class Fleet:
    """The workers, and the policy that they decide by (a Decider)."""

    def __init__(self, settings: ExtAuthzSettings, log_level: str, log: structlog.stdlib.BoundLogger) -> None:
        start = {"settings": settings.model_dump(mode="json"), "log_level": log_level}
        self.members: Sequence[Member] = tuple(
            Member(number, start, self._join, self._left, log, settings.drain_seconds + _STOP_MARGIN_SECONDS)
            for number in range(settings.workers)
        )
        self._log = log
        self._in: set[int] = set()
        self._joined = asyncio.Condition()
        # Held while the policy changes, and while a worker is brought to it: none can miss a change.
        self._change = asyncio.Lock()
        self._source: Source | None = None
        self._why_none: Mapping[str, str] | None = None
        self._may_serve = asyncio.Event()
        self._tasks: tuple[asyncio.Task[None], ...] = ()

    async def open(self) -> list[str]:
        """Start the workers; the addresses on which they will answer. Raises AddressError."""
        self._tasks = tuple(asyncio.create_task(member.run()) for member in self.members)
        begun = asyncio.create_task(self._begun())
        try:
            await asyncio.wait((begun, *self._tasks), return_when=asyncio.FIRST_COMPLETED)
        finally:
            begun.cancel()
        for task in self._tasks:
            if task.done() and isinstance(error := task.exception(), UnusableError):
                raise AddressError(str(error))
        return [address for member in self.members for address in member.addresses]

    async def _begun(self) -> None:
        for member in self.members:
            await member.begun.wait()

    async def start(self) -> None:
        """Let them answer; comes back when all have answered so at least once."""
        self._may_serve.set()
        await asyncio.gather(*(member.served.wait() for member in self.members))

    async def stop(self) -> None:
        """Drain and end them all, together."""
        for member in self.members:
            member.stop()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def take(self, source: Source, keep: Keep) -> Loaded:
        """As a Decider's: loaded by every worker that runs, then `keep`, then all swap."""
        for _ in range(_TRIES):
            async with self._joined:
                await self._joined.wait_for(lambda: self._in)
            async with self._change:
                loaded = await self._prepared(source)
                if loaded is None:
                    continue
                try:
                    await keep()
                except BaseException:
                    await self._all("drop")
                    raise
                self._source, self._why_none = source, None
                # What has ended meanwhile takes the policy when it is back.
                for number, answer in (await self._all("swap")).items():
                    self.members[number].version = answer.head["version"]
                return loaded
        raise PolicyError([_deadly(source)])

    async def without(self, code: ReasonCode, reason: str) -> None:
        async with self._change:
            self._why_none = {"code": code.value, "reason": reason}
            await self._all("without", self._why_none)

    async def let_go(self) -> None:
        """Each worker does so by itself."""

    async def refresh(self) -> None:
        """Have each worker say how it does; one that does not answer keeps what it said last."""
        await asyncio.gather(*(self._tell(self.members[number]) for number in sorted(self._in)))

    async def _tell(self, member: Member) -> None:
        try:
            answer = await asyncio.wait_for(member.ask("tell"), _TELL_SECONDS)
        except Gone:
            return
        except TimeoutError:
            member.reacts = False
        else:
            member.reacts = True
            member.version, member.told = answer.head["version"], answer.body

    def readiness(self) -> tuple[bool, dict[str, object]]:
        """Whether Checks are decided, with who does: all have to have begun, later one is enough.

        A worker that is being started again is told as `degraded`: Envoy asks the others, so nobody should stop
        sending requests here for it.
        """
        deciding = [member for member in self.members if member.serving and member.reacts and member.version]
        degraded = [
            f"worker {member.number} does not answer; it is being started again"
            for member in self.members
            if not member.serving
        ]
        degraded += [
            f"worker {member.number} does not react; it is replaced if that goes on"
            for member in self.members
            if member.serving and not member.reacts
        ]
        versions = {member.version for member in self.members if member.serving}
        if len(versions) > 1:
            degraded.append("the workers decide by different policies")
        begun = all(member.served.is_set() for member in self.members)
        workers = [
            {
                "worker": member.number,
                "pid": member.pid,
                "serving": member.serving,
                "policy_version": member.version,
                "since": member.since,
                "restarts": member.restarts,
                "listen": list(member.addresses),
            }
            for member in self.members
        ]
        return begun and bool(deciding), {"degraded": degraded, "workers": workers}

    async def _prepared(self, source: Source) -> Loaded | None:
        """What all say of the policy; None when every worker ended over it. Raises PolicyError."""
        answers = await self._all("prepare", _about(source), _body(source))
        refused = [answer.head["refused"] for answer in answers.values() if "refused" in answer.head]
        if refused:
            await self._all("drop")
            raise PolicyError([_finding(one) for one in refused[0]])
        loaded = [answer.head["loaded"] for answer in answers.values()]
        return Loaded(**{**loaded[0], "findings": tuple(loaded[0]["findings"])}) if loaded else None

    async def _all(
        self, what: str, more: Mapping[str, Any] | None = None, body: bytes = b""
    ) -> dict[int, Message]:
        """The answers of the workers that are in, by number; without those that end meanwhile."""
        asked = {number: self.members[number].ask(what, more, body) for number in sorted(self._in)}
        # The questions leave together, before the first answer is waited for.
        answers = await asyncio.gather(*asked.values(), return_exceptions=True)
        found: dict[int, Message] = {}
        for number, answer in zip(asked, answers, strict=True):
            if isinstance(answer, BaseException):
                if not isinstance(answer, Gone):
                    raise answer
            else:
                found[number] = answer
        return found

    async def _join(self, member: Member) -> None:
        """Bring a worker that has begun to where the others are, and let it answer when they may. Raises Gone."""
        async with self._change:
            await self._bring(member)
            async with self._joined:
                self._in.add(member.number)
                self._joined.notify_all()
        await self._may_serve.wait()

    async def _bring(self, member: Member) -> None:
        if self._why_none:
            await member.ask("without", self._why_none)
        if self._source is None:
            return
        answer = await member.ask("prepare", _about(self._source), _body(self._source))
        if "refused" in answer.head:
            # Functions of one's own can make it so. It would decide otherwise than the others: it must not.
            findings = told([_finding(one) for one in answer.head["refused"]])
            self._log.error(
                "a worker refuses the policy that decides", worker=member.number, findings=findings
            )
            raise Gone
        member.version = (await member.ask("swap")).head["version"]

    def _left(self, member: Member) -> None:
        self._in.discard(member.number)


def _body(source: Source) -> bytes:
    return source.model + source.policy


def _about(source: Source) -> dict[str, object]:
    return {
        "model_path": source.model_path,
        "policy_path": source.policy_path,
        "model_bytes": len(source.model),
    }


def _finding(heard: Mapping[str, Any]) -> Finding:
    return Finding(**{**heard, "severity": Severity(heard["severity"])})


def _deadly(source: Source) -> Finding:
    message = "every worker ended while it loaded this; is there enough memory? The log of extauthz says how they ended"
    return Finding(source.policy_path, 0, Severity.ERROR, "deadly", message)
