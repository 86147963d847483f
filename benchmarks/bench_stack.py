"""Requests through the real Envoy to one fast upstream: without the services, with extauthz, with both; and rows stored.

Two Envoys are what the others are held against: "the same envoy without the services" is the shipped bootstrap without
ext_authz, its second lock and the access log, and with all else (tokens verified, headers guarded); "envoy alone" has no
filter at all.

Each Envoy has one worker thread, on a processor of its own; load generator (h2load where it is there), services,
and upstream share the others. So a rate says what the slowest of them allows; what Envoy's own thread could
do by itself is a second over the CPU time that a request costs it, and its busy share says which of the two was met.
The ledger stands still during a run and stores afterwards what it left: it is none of the two services, and on few processors
it would take theirs. With --storing it runs all the time, and the rows a second are those that it stored meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import load
import uvloop
from stack_variants import (
    ALONE,
    ASKING,
    FAST,
    GRPCIO,
    KINDS,
    SAME,
    cpu_seconds,
    envoys,
    extauthz,
    processors,
)

from gateledger.cli.demo import _settings as free_settings
from gateledger.cli.up import running
from gateledger.demo.issuer import DemoIssuer
from service.clickhouse import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stack_variants import Envoy

    from gateledger.stack.stack import Stack

# Each has one request in flight. Throughput is what Envoy's thread can do, so it should not be without work: with 32 all
# requests are at a service more often, and each turn of its loop handles fewer of them.
CONNECTIONS = 96
PATH = "/orders/1"
LEDGER = ("ledger", "chserver")
WARM_UP = 2_000
LOGGED = tuple(f"bench {name}" for name, kind in KINDS.items() if kind.log)
# From this share on a thread counts as the bottleneck.
BUSY = 0.95


@dataclass(slots=True)
class Runs:
    """What the runs of one arrangement gave; CPU in microseconds a request."""

    rates: list[float] = field(default_factory=list)
    latencies: list[tuple[float, float]] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)
    cpu: dict[str, list[float]] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        return statistics.median(self.rates)

    def us(self, process: str) -> float:
        return statistics.median(self.cpu[process])

    def __str__(self) -> str:
        p50, p99 = (1e3 * statistics.median(pair[place] for pair in self.latencies) for place in (0, 1))
        busy = statistics.median(self.busy)
        slowest = "its thread is the bottleneck" if busy >= BUSY else "the other processor is the bottleneck"
        each = ", ".join(f"{name} {self.us(name):.1f}" for name in self.cpu)
        return (
            f"{self.rate:,.0f} requests/s, p50 {p50:.2f} ms, p99 {p99:.2f} ms; Envoy's thread busy {busy:.0%} ({slowest}), "
            f"by itself {1e6 / self.us('worker'):,.0f}/s; CPU us a request: {each}"
        )


@dataclass(frozen=True, slots=True)
class Bench:
    """A stack with the Envoys before it, and what they are asked."""

    stack: Stack
    envoys: dict[str, Envoy]
    services: dict[str, int]
    token: str
    connections: int
    storing: bool

    async def run(self, name: str, requests: int) -> load.Load:
        with contextlib.nullcontext() if self.storing else self._ledger_aside():
            return await self._asked(name, requests)

    async def _asked(self, name: str, requests: int) -> load.Load:
        done = await load.run(self.envoys[name].address, PATH, self.token, self.connections, requests)
        assert set(done.statuses) == {200}, (name, done.statuses)
        return done

    @contextlib.contextmanager
    def _ledger_aside(self) -> Iterator[None]:
        pids = [self.services[name] for name in LEDGER]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def clocks(self, envoy: Envoy) -> dict[str, float]:
        """CPU seconds so far: of the Envoy under test, its worker thread by itself, and of the services."""
        services = {name: cpu_seconds(pid) for name, pid in self.services.items()}
        return {"worker": envoy.worker_seconds(), "envoy": cpu_seconds(envoy.pid), **services}


async def measure(seconds: float, rounds: int, connections: int, *, storing: bool) -> None:
    where = processors()
    os.sched_setaffinity(0, where.rest)
    with tempfile.TemporaryDirectory(prefix="gl-bench-") as directory:
        settings = free_settings(Path(directory))
        async with running(settings, lambda line: print(line, file=sys.stderr), demo=True) as stack:
            token = DemoIssuer(settings.home / "demo").token("alice", ["customer"], time.time(), 3600)
            with extauthz(stack, "fast") as fast, extauthz(stack, "grpcio") as grpcio:
                async with envoys(stack, where) as (started, upstream):
                    services = {"fast": fast, "grpcio": grpcio, "upstream": upstream}
                    pids = stack.processes()
                    services |= {name: pids[name] or 0 for name in ("alslog", *LEDGER)}
                    bench = Bench(stack, started, services, token, connections, storing)
                    aside = "all the time" if storing else "between the runs"
                    print(
                        f"{connections} connections, {rounds} rounds of {seconds:g} s, the ledger stores {aside}; "
                        f"load {os.getloadavg()[0]:.1f}"
                    )
                    report(await _rounds(bench, seconds, rounds))


async def _rounds(bench: Bench, seconds: float, rounds: int) -> tuple[dict[str, Runs], list[float]]:
    runs, stored = {name: Runs() for name in bench.envoys}, []
    # The second of two says how many requests a run of that length has; caches are warm then, too.
    for name in bench.envoys:
        await bench.run(name, WARM_UP)
    requests = {name: int(seconds * (await bench.run(name, WARM_UP)).per_second) for name in bench.envoys}
    logged = await _stored(bench.stack, 0, 5)
    for _ in range(rounds):
        for name, envoy in bench.envoys.items():
            before, began = bench.clocks(envoy), time.perf_counter()
            done = await bench.run(name, requests[name])
            after = bench.clocks(envoy)
            total = done.statuses.total()
            runs[name].rates.append(done.per_second)
            runs[name].latencies.append((done.quantile(0.5), done.quantile(0.99)))
            runs[name].busy.append((after["worker"] - before["worker"]) / done.seconds)
            for one in after:
                runs[name].cpu.setdefault(one, []).append(1e6 * (after[one] - before[one]) / total)
            if KINDS[name].log:
                logged = await _stored(bench.stack, logged + total, 60)
                stored.append(total / (time.perf_counter() - began))
    return runs, stored


def report(measured: tuple[dict[str, Runs], list[float]]) -> None:
    """Each arrangement, then what the comparison comes to."""
    runs, stored = measured
    for name, one in runs.items():
        print(f"{name}: {one}")
    us = {name: one.us("worker") for name, one in runs.items()}
    for base in (SAME, ALONE):
        print(
            f"both services, fast: {runs[FAST].rate / runs[base].rate:.3f} of {base} by rate, "
            f"{us[base] / us[FAST]:.3f} by the CPU time of its thread"
        )
    print(
        f"both services, fast: {runs[FAST].rate / runs[GRPCIO].rate:.2f} times the rate by grpcio, "
        f"{us[GRPCIO] / us[FAST]:.2f} times by the CPU time of Envoy's thread"
    )
    print(
        f"Envoy's own share, us a request of its thread: proxying {us[ALONE]:.0f}, verifying tokens and removing trailers "
        f"{us[SAME] - us[ALONE]:.0f}, asking extauthz {us[ASKING] - us[SAME]:.0f}, telling alslog {us[FAST] - us[ASKING]:.0f}"
    )
    print(
        f"rows stored and queryable, from the begin of a run: {statistics.median(stored):,.0f} rows/s, none missing"
    )


async def _stored(stack: Stack, wanted: int, seconds: float) -> int:
    """Wait until `wanted` rows are queryable (0: until no more come); gives how many there are."""
    settings = stack.settings.clickhouse
    client = connect(settings, settings.reader_user, settings.reader_password_file)
    sql = f"SELECT count() FROM audit.access_log WHERE envoy_node IN {LOGGED}"
    deadline = time.perf_counter() + seconds
    try:
        while True:
            found = int((await asyncio.to_thread(client.query, sql)).result_rows[0][0])
            if wanted and found >= wanted:
                assert found == wanted, f"{found} rows of {wanted} requests"
                return found
            if time.perf_counter() > deadline:
                assert not wanted, f"only {found} rows of {wanted} requests"
                return found
            await asyncio.sleep(0.25)  # The ledger stores in batches; one has to look.
    finally:
        client.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3, help="length of a run")
    parser.add_argument(
        "--rounds", type=int, default=5, help="runs of each arrangement; the medians are printed"
    )
    parser.add_argument(
        "--connections", type=int, default=CONNECTIONS, help="requests in flight (default: %(default)s)"
    )
    parser.add_argument("--storing", action="store_true", help="the ledger stores during the runs too")
    arguments = parser.parse_args()
    uvloop.run(measure(arguments.seconds, arguments.rounds, arguments.connections, storing=arguments.storing))
