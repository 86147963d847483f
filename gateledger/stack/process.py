"""One supervised process: started, watched, restarted with backoff for ever, stopped once."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 10.0
# A process that ran this long has recovered: its next end starts the backoff anew.
SETTLED_SECONDS = 10.0
# What the services exit with when their settings, files or addresses cannot be used.
UNUSABLE = 2

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


@dataclass(frozen=True, slots=True)
class Program:
    """What to run. `up` tells whether it can do its work; `stop_seconds` is how long a stop may take."""

    name: str
    argv: tuple[str, ...]
    up: Callable[[], Awaitable[bool]]
    stop_seconds: float


class StartError(Exception):
    """A program that cannot start as things are; the message carries its own words."""


@dataclass(slots=True)
class Supervised:
    """Keeps a program running. `report` gets a sentence for people, `changed` is called at each new pid."""

    program: Program
    log: Path
    directory: Path
    report: Callable[[str], None]
    changed: Callable[[], None]
    pid: int | None = None
    started_at: float = 0.0
    restarts: int = 0
    _seen_up: bool = False
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to keep the program running."""
        self._rotate_log()
        self._task = asyncio.create_task(self._keep_running(), name=f"supervise {self.program.name}")

    async def wait_up(self, deadline: float) -> None:
        """Wait until the program can do its work. Raises StartError when it cannot, or not by then.

        `deadline` is on the clock of time.monotonic().
        """
        while not (self.pid and await self.program.up()):
            if self._task and self._task.done():
                self._task.result()
            if time.monotonic() > deadline:
                raise StartError(
                    f"{self.program.name} did not come up in time; its log: {self.log}{self._tail()}"
                )
            await asyncio.sleep(0.05)
        self._seen_up = True

    async def stop(self, *, hurry: bool = False) -> None:
        """SIGTERM, then SIGKILL after the program's stop_seconds (at once with `hurry`)."""
        self._stopping.set()
        if self._task is None:
            return
        self._signal(signal.SIGTERM)
        with contextlib.suppress(StartError):
            try:
                await asyncio.wait_for(
                    asyncio.shield(self._task), 0.5 if hurry else self.program.stop_seconds
                )
            except TimeoutError:
                if not hurry:
                    self.report(f"{self.program.name} did not stop within its time and is killed")
                self.kill()
                await self._task

    def kill(self) -> None:
        """SIGKILL, for a user who cannot wait; the program's own children, which are in its group, too."""
        self._stopping.set()
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def _keep_running(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not self._stopping.is_set():
            how = await self._run_and_say_how()
            if self._stopping.is_set():
                return
            if time.time() - self.started_at > SETTLED_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            self.report(f"{self.program.name} ended ({how}); starting it again in {pause:g} s")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            self.restarts += 1

    async def _run_and_say_how(self) -> str:
        """Run the program to its end; gives how it ended. Raises StartError for one that was never up and cannot be.

        Once it was up nothing ends the supervision: a full disk, say, passes.
        """
        try:
            code = await self._run_once()
        except OSError as error:
            how = f"{self.program.argv[0]}: {error.strerror}"
            if not self._seen_up:
                raise StartError(f"{self.program.name}: {how}") from error
            return how
        if code == UNUSABLE and not self._seen_up:
            raise StartError(f"{self.program.name} cannot start:{self._tail()}")
        return _how(code)

    async def _run_once(self) -> int:
        with self.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *self.program.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env={name: value for name, value in os.environ.items() if not name.startswith("GATELEDGER_")},
                # A group of its own: Ctrl-C reaches the supervisor alone, which stops in order.
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        self.pid, self.started_at = process.pid, time.time()
        if self._stopping.is_set():
            self._signal(signal.SIGTERM)
        try:
            self.changed()
        except OSError as error:
            self.report(f"{self.program.name} runs, but that could not be written down: {error}")
        code = await process.wait()
        self.pid = None
        return code

    def _rotate_log(self) -> None:
        if self.log.exists():
            self.log.replace(self.log.with_name(self.log.name + ".1"))
        self.log.touch(mode=0o600)

    def _tail(self, lines: int = 5) -> str:
        text = self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""
        return "".join(f"\n  {line}" for line in text.splitlines()[-lines:])


def _die_with_parent() -> None:
    """Ask the kernel to end this process when the supervisor dies, however it dies (prctl(2))."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _how(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
