"""One worker as its parent sees it: started, told what to do, looked after, started again, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from extauthz.workers.channel import Asking, Channel, Gone, Message

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    import structlog

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 10.0
# A worker that ran this long has recovered: its next end starts the backoff anew.
SETTLED_SECONDS = 10.0
PING_SECONDS = 1.0
# Envoy has long given up on a worker that does not react for so long.
HUNG_SECONDS = 15.0


class UnusableError(Exception):
    """A worker that cannot begin as things are; the message is its own."""


@dataclass(slots=True)
class Member:
    """Keeps one worker running. `join` is awaited when it has begun, before it may answer a Check."""

    number: int
    start: Mapping[str, Any]
    join: Callable[[Member], Awaitable[None]]
    left: Callable[[Member], None]
    log: structlog.stdlib.BoundLogger
    stop_seconds: float
    pid: int | None = None
    since: float = 0.0
    restarts: int = 0
    # Whether it answers Checks now, and whether one with this number ever did.
    serving: bool = False
    served: asyncio.Event = field(default_factory=asyncio.Event)
    # Whether it answered when it was asked last.
    reacts: bool = True
    # The policy that it decides by, and what it last said of itself.
    version: str | None = None
    told: bytes = b""
    addresses: tuple[str, ...] = ()
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    _asking: Asking | None = None
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def ask(self, what: str, more: Mapping[str, Any] | None = None, body: bytes = b"") -> Message:
        """The worker's answer. Raises extauthz.workers.channel.Gone when it ends before that."""
        if self._asking is None:
            raise Gone
        return await self._asking.ask(what, more or {}, body)

    async def run(self) -> None:
        """Keep it running until `stop`. Raises UnusableError for one that could not begin the first time."""
        pause = FIRST_PAUSE_SECONDS
        while not self._stopping.is_set():
            try:
                how = await self._once()
            except UnusableError:
                raise
            except Exception as error:  # noqa: BLE001 - nothing ends the supervision
                how = f"{type(error).__name__}: {error}"
            if self._stopping.is_set():
                return
            if time.time() - self.since > SETTLED_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            self.log.error("a worker ended", worker=self.number, how=how, again_in_seconds=pause)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            self.restarts += 1

    def stop(self) -> None:
        """Have it drain and end; `run` comes back when it has, or was killed because it did not."""
        self._stopping.set()

    def kill(self) -> None:
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    async def _once(self) -> str:
        """One life of the worker; says how it ended."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = await asyncio.create_subprocess_exec(
                    *_command(theirs.fileno()),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                )
            except OSError as error:
                ours.close()
                return f"cannot be started: {error.strerror}"
        self.pid, self.since = process.pid, time.time()
        self._asking = Asking(await Channel.over(ours))
        ended = asyncio.create_task(process.wait())
        try:
            await self._live(ended)
            return _how(await ended)
        finally:
            self.serving, self.reacts, self.version = False, True, None
            self.left(self)
            if not ended.done():
                self.kill()
                await ended
            self.pid = None
            await self._asking.close()
            self._asking = None

    async def _live(self, ended: asyncio.Task[int]) -> None:
        """Everything between a worker's start and its end. Raises UnusableError."""
        living = asyncio.create_task(self._begin_and_watch())
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait((living, stopping, ended), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if self._stopping.is_set() and not ended.done():
            await self._end(ended)
        elif not self.begun.is_set():
            # Its last words, or the end of the channel.
            await asyncio.wait((living,), timeout=PING_SECONDS)
        living.cancel()
        if not ended.done():
            # What has lost its parent's ear ends in any case; what cannot be told what to do must.
            await asyncio.wait((ended,), timeout=PING_SECONDS)
            if not ended.done():
                self.kill()
        with contextlib.suppress(asyncio.CancelledError, Gone):
            await living

    async def _begin_and_watch(self) -> None:
        begun = (await self.ask("begin", {"worker": self.number, **self.start})).head
        if "unusable" in begun:
            if not self.begun.is_set():
                raise UnusableError(begun["unusable"])
            self.log.error("a worker cannot begin", worker=self.number, error=begun["unusable"])
            return
        self.addresses = tuple(begun["addresses"])
        self.begun.set()
        # From here on, not only once it serves: whoever changes the policy waits for its answers.
        watching = asyncio.create_task(self._watch())
        try:
            await self.join(self)
            await self.ask("serve")
            self.serving = True
            self.served.set()
            self.log.info("worker serves", worker=self.number, pid=self.pid, listen=self.addresses)
            await watching
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError, Gone):
                await watching

    async def _watch(self) -> None:
        """Look after it; raises Gone at its end, which this brings about if it does not react."""
        while True:
            await asyncio.sleep(PING_SECONDS)
            try:
                await asyncio.wait_for(self.ask("ping"), HUNG_SECONDS)
            except TimeoutError:
                self.log.error("a worker hangs and is killed", worker=self.number, seconds=HUNG_SECONDS)  # noqa: TRY400 - no traceback at users
                self.kill()

    async def _end(self, ended: asyncio.Task[int]) -> None:
        asked = asyncio.create_task(self.ask("stop"))
        await asyncio.wait((ended,), timeout=self.stop_seconds)
        asked.cancel()
        with contextlib.suppress(asyncio.CancelledError, Gone):
            await asked
        if not ended.done():
            self.log.error("a worker did not stop within its time and is killed", worker=self.number)
            self.kill()


def _command(descriptor: int) -> tuple[str, ...]:
    # As this process was started: with -P the working directory cannot stand in for a package.
    safe = ("-P",) if sys.flags.safe_path else ()
    return (sys.executable, *safe, "-m", "extauthz.workers", str(descriptor))


def _how(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
