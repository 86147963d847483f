"""Several processes of extauthz as they run: real processes, real gRPC clients, real files, real signals."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import grpc
import psutil
import pytest
from check_requests import allows, check_request, metadata
from extauthz_process import CHECK, Service, wait_for

from spool import sealed_segments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ALLOW = "p, alice, orders, /orders/:id, GET, allow\n"
DENY = "p, alice, orders, /orders/:id, GET, deny\n"
BAD = "p, alice\n"
WORKERS = 2


@pytest.fixture
def many(make_service: Callable[..., Service]) -> Iterator[Service]:
    """A service of two workers; none of its processes is left afterwards, however the test ended."""
    # A decision that was answered is on disk: what a kill leaves is no matter of luck.
    service = make_service(workers=WORKERS, audit_required=True).start()
    assert service.process
    family = [psutil.Process(service.process.pid), *psutil.Process(service.process.pid).children()]
    yield service
    for process in family:
        if process.is_running():
            process.kill()


def workers(service: Service) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(service.get("/readyz")[1])["workers"]
    return found


def all_is_well(service: Service) -> bool:
    found = json.loads(service.get("/readyz")[1])
    return (found["ready"], found["degraded"]) == (True, [])


def ended(process: psutil.Process) -> bool:
    """Whether it runs no more; whoever inherits an orphan may take a while to bury it."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def ask(service: Service, worker: int) -> bytes:
    """What one worker answers, on its own socket."""
    name = "extauthz.sock" if worker == 0 else f"extauthz-{worker}.sock"
    with grpc.insecure_channel(f"unix:{service.home / 'run' / name}") as channel:
        answer: bytes = channel.unary_unary(CHECK)(check_request(), timeout=10, wait_for_ready=True)
        return answer


def versions(service: Service) -> set[str]:
    return {str(metadata(ask(service, worker))["policy_version"]) for worker in range(WORKERS)}


@pytest.mark.parametrize("transport", ["grpcio"])
def test_a_policy_decides_in_every_worker_or_in_none(many: Service) -> None:
    before = versions(many)
    many.put(DENY)
    wait_for("the swap", lambda: many.metric('gateledger_policy_reloads_total{result="loaded"}') == 2)
    denied = [not allows(ask(many, worker)) for worker in range(WORKERS)]
    told = {worker["policy_version"] for worker in workers(many)}
    after = versions(many)
    many.put(BAD)
    wait_for("the refusal", lambda: many.metric('gateledger_policy_reloads_total{result="refused"}'))
    detail = json.loads(many.get("/readyz")[1])

    assert denied == [True] * WORKERS
    assert after == told
    assert len(before | after) == 2
    assert versions(many) == after
    assert "policy.csv:1: error[arity]" in detail["refused"]["findings"][0]
    # One that is short of processors for seconds is told as degraded: it passes.
    wait_for("all is well", lambda: all_is_well(many))
    counted = 'gateledger_checks_total{effect="deny",reason_code="rule_deny",worker="%d"}'
    assert [many.metric(counted % worker) for worker in range(WORKERS)] == [3.0] * WORKERS


def test_a_worker_that_comes_again_decides_by_the_policy_of_the_others(many: Service) -> None:
    many.put(DENY)
    wait_for("the swap", lambda: many.metric('gateledger_policy_reloads_total{result="loaded"}') == 2)
    first, second = workers(many)
    ask(many, 1)
    os.kill(second["pid"], signal.SIGKILL)
    # The first one answers all the while; the second one's socket is there again with the policy of today.
    assert not allows(ask(many, 0))
    wait_for("the worker", lambda: workers(many)[1]["restarts"] == 1 and workers(many)[1]["serving"])
    wait_for("all is well", lambda: all_is_well(many))
    # What the dead one had not sealed is sealed by the new one.
    wait_for("its journal", lambda: sealed_segments(many.home / "spool" / "decisions" / "1"))

    assert not allows(ask(many, 1))
    assert workers(many)[0]["pid"] == first["pid"]
    assert many.event("a worker ended")["how"] == "signal SIGKILL"  # type: ignore[index]
    # Ctrl-C; the end-to-end tests stop by SIGTERM.
    assert many.stop(signal.SIGINT) == 0


def test_no_worker_outlives_a_parent_that_was_killed(many: Service) -> None:
    assert many.process
    children = psutil.Process(many.process.pid).children()
    ask(many, 0)
    ask(many, 1)
    many.stop(signal.SIGKILL)
    wait_for("the workers' end", lambda: all(map(ended, children)))
    journals = [sealed_segments(many.home / "spool" / "decisions" / str(worker)) for worker in range(WORKERS)]

    assert len(children) == WORKERS
    # Also without a parent they end in order: what they decided is on disk.
    assert all(journals)


def test_workers_that_cannot_begin_say_why(make_service: Callable[..., Service], tmp_path: Path) -> None:
    service = make_service(workers=WORKERS)
    (service.home / "run").mkdir(mode=0o700)
    (service.home / "run" / "extauthz-1.sock").write_text("in the way")
    service.start(ready=False)
    assert service.process

    assert service.process.wait(30) == 2
    assert "extauthz-1.sock: the file is no socket; move it away" in (service.home / "log").read_text()


def test_a_journal_of_a_worker_that_is_no_more_is_sealed(make_service: Callable[..., Service]) -> None:
    service = make_service(workers=WORKERS, audit_required=True).start()
    ask(service, 1)
    directory = service.home / "spool" / "decisions" / "1"
    other, victim = (psutil.Process(worker["pid"]) for worker in workers(service))
    assert service.process
    # Neither seals what it has open: the worker first, so that nobody starts it again.
    os.kill(service.process.pid, signal.SIGSTOP)
    victim.kill()
    service.stop(signal.SIGKILL)
    # It ends by itself, and lets its socket go.
    wait_for("the end of the other one", lambda: ended(other) and ended(victim))
    service.settings["workers"] = 1
    service.start()

    assert sealed_segments(directory)
