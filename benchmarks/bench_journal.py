"""What the journal of decisions costs a Check: CPU in process, and p50/p99 at 1,000 Checks/s with and without
extauthz.audit_required, through gRPC over a unix socket, each answer asserted.

The three servers run side by side and are asked in turns, so that whatever else the machine does hits them alike.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import grpc.aio
import structlog
from bench_check import ATTRIBUTES, CHECK, MODEL, POLICY, ROOT, allowed, request

from extauthz import wire
from extauthz.check import Checker
from extauthz.decide import Rules, Snapshot
from extauthz.decisions import DecisionJournal, Tally
from extauthz.engine import Engine
from extauthz.identity_settings import IdentitySettings, Issuer
from extauthz.settings import ExtAuthzSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

RATE = 1_000
SECONDS = 4
ROUNDS = 5
IN_PROCESS = 20_000
MESSAGE = request("alice", "/orders/1?x=1")
SERVERS = {"journal asynchronous": False, "audit required": True}


def in_process() -> None:
    """The share of a Check that its journal entry is."""
    engine = Engine.from_files(MODEL, POLICY, ATTRIBUTES)
    identity = IdentitySettings(issuers=(Issuer(name="demo", roles=("*",)),))
    checker = Checker(
        identity, Rules(ATTRIBUTES), lambda: Snapshot(engine), lambda *_: None, structlog.get_logger()
    )
    entry = checker.checked(MESSAGE).entry
    metadata = entry[6 : 6 + (entry[4] & 0x7F | entry[5] << 7)]
    began = time.perf_counter()
    for _ in range(IN_PROCESS):
        made = wire.journal_entry(metadata, b"0b8a3f0e-7d0c-4a6e-9a53-9a5b5d0a7f2e", time.time_ns())
    each = (time.perf_counter() - began) / IN_PROCESS * 1e6
    assert made.startswith(b"\x0a")
    print(
        f"journal: {each:.1f} µs to make an entry of {len(made)} bytes, beside 1 µs to serialise its metadata again"
    )


async def durable() -> None:
    """How long an entry is on its way to the disk, at the same rate: what a required audit adds, by itself."""
    checker_entry = wire.journal_entry(
        b"\x0a" + bytes(500), b"0b8a3f0e-7d0c-4a6e-9a53-9a5b5d0a7f2e", time.time_ns()
    )
    with tempfile.TemporaryDirectory(prefix="gateledger-") as home:
        tally = Tally()
        journal = DecisionJournal(
            Path(home), ExtAuthzSettings(audit_required=True), tally, structlog.get_logger()
        )
        seconds: list[float] = []

        async def one() -> None:
            began = time.perf_counter()
            await journal.durable("edge", checker_entry)
            seconds.append(time.perf_counter() - began)

        began, tasks = time.perf_counter(), []
        for number in range(RATE * SECONDS):
            if (wait := began + number / RATE - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            tasks.append(asyncio.create_task(one()))
        await asyncio.gather(*tasks)
        await journal.close()
        assert tally.durable == RATE * SECONDS
    print(
        f"journal: durable at {RATE}/s after p50 {quantile(seconds, 0.5):.2f} ms, p99 {quantile(seconds, 0.99):.2f} ms"
    )


def disk() -> None:
    """What the disk alone takes, one write and one fdatasync after the other."""
    with (
        tempfile.TemporaryDirectory(prefix="gateledger-") as home,
        (Path(home) / "file").open("wb", 0) as file,
    ):
        seconds = []
        for _ in range(RATE):
            began = time.perf_counter()
            file.write(bytes(600))
            os.fdatasync(file.fileno())
            seconds.append(time.perf_counter() - began)
    print(
        f"disk: write and fdatasync p50 {quantile(seconds, 0.5):.2f} ms, p99 {quantile(seconds, 0.99):.2f} ms"
    )


@contextlib.contextmanager
def server(*, required: bool) -> Iterator[str]:
    """The socket of an extauthz of its own."""
    with tempfile.TemporaryDirectory(prefix="gateledger-") as home:
        config, policy = Path(home) / "gateledger.yaml", Path(home) / "policy.csv"
        # One rule: what the engine costs is measured by bench_check.py.
        policy.write_text("p, alice, orders, /orders/:id, GET, allow\n")
        section = {
            "metrics": "127.0.0.1:0",
            "issuers": [{"name": "demo", "roles": ["*"]}],
            "audit_required": required,
            "policy": str(policy),
            "transport": "grpcio",
        }
        config.write_text(json.dumps({"extauthz": section}))
        command = [sys.executable, "-m", "extauthz", "--config", str(config), "--home", home]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
            try:
                assert process.stderr is not None
                assert any('"ready"' in line for line in process.stderr)
                yield f"{home}/run/extauthz.sock"
            finally:
                process.terminate()


async def at_rate(socket: str) -> list[float]:
    """Seconds of each Check, sent one each millisecond whether the one before was answered or not."""
    async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
        call = channel.unary_unary(CHECK)
        assert allowed(await call(MESSAGE, timeout=30))
        seconds: list[float] = []

        async def one(due: float) -> None:
            answer = await call(MESSAGE, timeout=30)
            seconds.append(time.perf_counter() - due)
            assert allowed(answer)

        began = time.perf_counter()
        tasks = []
        for number in range(RATE * SECONDS):
            due = began + number / RATE
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            tasks.append(asyncio.create_task(one(max(due, time.perf_counter() - 0.001))))
        await asyncio.gather(*tasks)
        return seconds


def quantile(seconds: list[float], q: float) -> float:
    return sorted(seconds)[int(q * (len(seconds) - 1))] * 1e3


def main() -> None:
    # As in extauthz.
    sys.setswitchinterval(0.0005)
    in_process()
    disk()
    asyncio.run(durable())
    with contextlib.ExitStack() as stack:
        sockets = {name: stack.enter_context(server(required=required)) for name, required in SERVERS.items()}
        p99: dict[str, list[float]] = {name: [] for name in SERVERS}
        p50: dict[str, list[float]] = {name: [] for name in SERVERS}
        for _ in range(ROUNDS):
            for name, socket in sockets.items():
                found = asyncio.run(at_rate(socket))
                p50[name].append(quantile(found, 0.5))
                p99[name].append(quantile(found, 0.99))
    middle = {name: sorted(each)[ROUNDS // 2] for name, each in p99.items()}
    for name in SERVERS:
        print(
            f"check at {RATE}/s, {name}: p50 {sorted(p50[name])[ROUNDS // 2]:.2f} ms, p99 {middle[name]:.2f} ms (median of {ROUNDS})"
        )
    added = middle["audit required"] - middle["journal asynchronous"]
    print(f"audit required adds {added:.2f} ms to the p99 of a Check at {RATE}/s (aim: at most 3 ms)")


if __name__ == "__main__":
    main()
