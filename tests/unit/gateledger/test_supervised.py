from __future__ import annotations

import asyncio
import errno
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from gateledger.stack.process import Program, StartError, Supervised

SLEEPER = "import time; print('hello', flush=True); time.sleep(600)"


@dataclass
class Bench:
    """A supervised Python one-liner in a directory of its own, and what was reported of it."""

    directory: Path
    reports: list[str] = field(default_factory=list)
    changes: int = 0

    def supervised(self, code: str, up: Callable[[], Awaitable[bool]] | None = None) -> Supervised:
        program = Program("thing", (sys.executable, "-c", code), up or self.said_hello, 5)
        return Supervised(
            program, self.directory / "thing.log", self.directory, self.reports.append, self._changed
        )

    async def said_hello(self) -> bool:
        return "hello" in (self.directory / "thing.log").read_text()

    def _changed(self) -> None:
        self.changes += 1


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def full_disk() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_process_that_is_killed_is_started_again_and_reported(bench: Bench) -> None:
    supervised = bench.supervised(SLEEPER)
    supervised.start()
    await supervised.wait_up(time.monotonic() + 20)
    first = supervised.pid
    assert first

    os.kill(first, signal.SIGKILL)
    await until(lambda: supervised.pid not in (None, first))
    await supervised.stop()

    assert bench.reports == ["thing ended (signal SIGKILL); starting it again in 0.1 s"]
    assert supervised.restarts == 1
    assert bench.changes == 2


async def test_a_stop_leaves_no_process(bench: Bench) -> None:
    supervised = bench.supervised(SLEEPER)
    supervised.start()
    await supervised.wait_up(time.monotonic() + 20)
    pid = supervised.pid
    assert pid

    await supervised.stop()

    assert not psutil.pid_exists(pid)
    assert bench.reports == []


async def test_a_process_that_ignores_sigterm_is_killed(bench: Bench) -> None:
    supervised = bench.supervised(f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPER}")
    supervised.start()
    await supervised.wait_up(time.monotonic() + 20)
    pid = supervised.pid
    assert pid

    await supervised.stop(hurry=True)

    assert not psutil.pid_exists(pid)


async def test_a_failure_to_write_down_a_new_pid_does_not_end_the_supervision(bench: Bench) -> None:
    supervised = bench.supervised(SLEEPER)
    supervised.changed = full_disk
    supervised.start()
    await supervised.wait_up(time.monotonic() + 20)
    first = supervised.pid
    assert first

    os.kill(first, signal.SIGKILL)
    await until(lambda: supervised.pid not in (None, first))
    await supervised.stop()

    assert any("No space left" in report for report in bench.reports)


async def test_a_program_that_cannot_be_started_again_for_a_while_is_tried_until_it_can(bench: Bench) -> None:
    supervised = bench.supervised(SLEEPER)
    supervised.start()
    await supervised.wait_up(time.monotonic() + 20)
    first = supervised.pid
    assert first
    away = bench.directory.with_name("away")
    bench.directory.rename(away)

    os.kill(first, signal.SIGKILL)
    await until(lambda: any("No such file" in report for report in bench.reports))
    away.rename(bench.directory)

    await until(lambda: supervised.pid not in (None, first))
    await supervised.stop()


async def test_a_stop_does_not_wait_for_the_pause_before_the_next_try(bench: Bench) -> None:
    supervised = bench.supervised("import sys; sys.exit(1)")
    supervised.start()
    await until(lambda: len(bench.reports) >= 3)

    await supervised.stop()

    assert not any("killed" in report for report in bench.reports)


async def test_a_program_that_finds_its_setup_unusable_is_not_started_again(bench: Bench) -> None:
    supervised = bench.supervised(
        "import sys; print('policy.csv: no such file', file=sys.stderr); sys.exit(2)"
    )
    supervised.start()

    with pytest.raises(StartError, match=r"thing cannot start:\n  policy\.csv: no such file"):
        await supervised.wait_up(time.monotonic() + 20)

    await supervised.stop()
    assert supervised.restarts == 0


async def test_a_program_that_crashes_at_first_is_tried_again(bench: Bench) -> None:
    once = "import pathlib, sys; p = pathlib.Path('seen'); e = p.exists(); p.touch(); sys.exit(1) if not e else None;"
    supervised = bench.supervised(once + SLEEPER)
    supervised.start()

    await supervised.wait_up(time.monotonic() + 20)
    await supervised.stop()

    assert bench.reports == ["thing ended (exit code 1); starting it again in 0.1 s"]


async def test_a_program_that_never_comes_up_ends_the_start_with_its_last_words(bench: Bench) -> None:
    async def never() -> bool:
        return False

    supervised = bench.supervised(SLEEPER, never)
    supervised.start()
    await until(lambda: supervised.log.exists() and "hello" in supervised.log.read_text())

    with pytest.raises(StartError, match=r"did not come up in time; its log: .*thing\.log\n  hello"):
        await supervised.wait_up(time.monotonic())

    await supervised.stop()


async def test_a_child_dies_with_the_supervisor_however_that_dies(bench: Bench) -> None:
    code = (
        "import asyncio, pathlib, sys\n"
        "from gateledger.stack.process import Program, Supervised\n"
        "async def up(): return True\n"
        "async def main():\n"
        f"    program = Program('child', (sys.executable, '-c', {SLEEPER!r}), up, 5)\n"
        "    here = pathlib.Path('.').absolute()\n"
        "    child = Supervised(program, here / 'child.log', here, print, lambda: None)\n"
        "    child.start()\n"
        "    while not child.pid: await asyncio.sleep(0.01)\n"
        "    (here / 'pid.part').write_text(str(child.pid)); (here / 'pid.part').rename(here / 'pid')\n"
        "    await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", code, cwd=bench.directory)
    await until((bench.directory / "pid").exists)
    child = psutil.Process(int((bench.directory / "pid").read_text()))

    parent.kill()
    await parent.wait()

    await until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
