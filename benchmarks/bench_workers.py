"""Checks by one process of extauthz and by several (extauthz.workers): full work, 1,000 rules, the fast transport.

Two clients, each a process with 32 Checks in flight, ask one worker together or one worker each. Every answer is asserted.
Clients and workers share the machine: with two processors there is nothing to gain, and the rates say so.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from bench_check import full, world
from check_load import Client

from extauthz.addresses import of_worker

if TYPE_CHECKING:
    import psutil
    from check_load import Asked

CLIENTS = 2
RULES = 1_000
STREAMS = 32
COUNT = 30_000


def ask(address: str, asked: list[Asked]) -> float:
    """Seconds that COUNT Checks took."""
    client = Client(address, asked)
    try:
        client.closed_loop(len(asked), STREAMS)
        return client.closed_loop(COUNT, STREAMS).seconds
    finally:
        client.close()


def cpu(parent: psutil.Process) -> float:
    """CPU seconds of a service, its workers included."""
    return sum(sum(one.cpu_times()[:2]) for one in (parent, *parent.children()))


def rate(parent: psutil.Process, address: str, workers: int, asked: list[Asked]) -> tuple[float, float]:
    """Checks a second of all clients, and CPU microseconds a Check."""
    sockets = [of_worker([address], number % workers)[0] for number in range(CLIENTS)]
    before = cpu(parent)
    with ProcessPoolExecutor(CLIENTS) as clients:
        taken = list(clients.map(ask, sockets, [asked] * CLIENTS))
    total = CLIENTS * (COUNT + len(asked))
    return sum(COUNT / seconds for seconds in taken), (cpu(parent) - before) / total * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, nargs="*", default=(1, 2))
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gateledger-") as home:
        policy = Path(home) / "policy.csv"
        text, asked = world(RULES)
        policy.write_bytes(text)
        for workers in arguments.workers:
            with full("fast", policy, workers=workers) as (parent, address):
                seen = [rate(parent, address, workers, asked) for _ in range(arguments.rounds)]
            per_second, cost = (statistics.median(values) for values in zip(*seen, strict=True))
            print(
                f"{workers} workers, {CLIENTS} clients, {os.cpu_count()} processors: {per_second:,.0f} Checks/s, "
                f"{cost:.1f} µs of CPU a Check",
                flush=True,
            )


if __name__ == "__main__":
    main()
