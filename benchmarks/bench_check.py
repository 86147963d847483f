"""What one Check costs: `check(bytes)` in this process, and a server of either transport over a unix socket.

Servers do nothing (noop) or all of it (decision, metadata, journal, metrics), for policies of 1, 1,000 and 100,000
rules, with 32 Checks in flight and with one; then at a fixed rate. The client is one process, the server another; the
requests are a thousand, of as many subjects as there are. Every answer is asserted; CPU time is the server's own.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import structlog
from bench_engine import policy_of
from check_load import CHECK, Asked, Client, Taken, envoy_check

from extauthz.check import Checker
from extauthz.decide import Rules, Snapshot
from extauthz.engine import Engine
from extauthz.identity_settings import IdentitySettings, Issuer
from protos.gen import ext_authz_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ATTRIBUTES", "CHECK", "MODEL", "POLICY", "ROOT", "allowed", "request"]

ROOT = Path(__file__).parents[1]
MODEL, POLICY = ROOT / "policies" / "model.conf", ROOT / "policies" / "policy.csv"
ATTRIBUTES = ("subject", "service", "resource", "action")
TRANSPORTS = ("fast", "grpcio")
SIZES = (1, 1_000, 100_000)
REQUESTS = 1_000
# One of so many is denied.
DENIED = 5
IN_PROCESS = 20_000
RATE = 5_000


def request(subject: str, path: str) -> bytes:
    """A Check about a service of the shipped policy."""
    return envoy_check(subject, "orders", path, "GET", 1)


def allowed(answer: bytes) -> bool:
    return ext_authz_pb2.CheckResponse.FromString(answer).WhichOneof("http_response") == "ok_response"


def world(rules: int) -> tuple[bytes, list[Asked]]:
    """A policy of so many rules, and Checks about it."""
    if rules == 1:
        text = b"p, role:authenticated, svc0, /svc0/*, GET, allow\n"
        right = [(f"user{n}", "svc0", f"/svc0/things{n}", "GET") for n in range(REQUESTS)]
        wrong = [(subject, service, path, "PUT") for subject, service, path, _ in right]
    else:
        policy = policy_of(rules)
        text, right, wrong = policy.source.policy, policy.allowed, policy.denied
    asked = []
    for number in range(REQUESTS):
        is_allowed = bool(number % DENIED)
        said = (right if is_allowed else wrong)[number]
        code = b"rule_allow" if is_allowed else b"no_matching_rule"
        asked.append(Asked(envoy_check(*said, number), code, said[2].encode()))
    return text, asked


def in_process(rules: int, policy: Path, asked: list[Asked]) -> None:
    engine = Engine.from_files(MODEL, policy, ATTRIBUTES)
    snapshot = Snapshot(engine)
    checker = Checker(
        IdentitySettings(issuers=(Issuer(name="demo", roles=("*",)),)),
        Rules(ATTRIBUTES),
        lambda: snapshot,
        lambda *_: None,
        structlog.get_logger(),
    )
    for each in asked:
        assert allowed(checker.check(each.message)) is (each.code == b"rule_allow")
    cpu = time.process_time()
    for number in range(IN_PROCESS):
        each = asked[number % len(asked)]
        assert each.code in checker.check(each.message)
    cpu = time.process_time() - cpu
    print(f"check in process, {rules} rules: {cpu / IN_PROCESS * 1e6:.1f} µs of CPU a Check", flush=True)


@contextlib.contextmanager
def noop(transport: str) -> Iterator[tuple[psutil.Process, str]]:
    with tempfile.TemporaryDirectory(prefix="gateledger-") as home:
        address = f"unix:{home}/s"
        command = [sys.executable, str(Path(__file__).parent / "noop_server.py"), transport, address]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, env=_environment()) as process:
            assert process.stdout is not None
            try:
                assert process.stdout.readline() == b"ready\n"
                yield psutil.Process(process.pid), address
            finally:
                process.terminate()


@contextlib.contextmanager
def full(transport: str, policy: Path, **settings: object) -> Iterator[tuple[psutil.Process, str]]:
    with tempfile.TemporaryDirectory(prefix="gateledger-") as home:
        config = Path(home) / "gateledger.yaml"
        section = {
            "metrics": "127.0.0.1:0",
            "issuers": [{"name": "demo", "roles": ["*"]}],
            "policy": str(policy),
            "transport": transport,
            **settings,
        }
        config.write_text(json.dumps({"extauthz": section}))
        command = [sys.executable, "-m", "extauthz", "--config", str(config), "--home", home]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
            assert process.stderr is not None
            try:
                assert any('"ready"' in line for line in process.stderr)
                yield psutil.Process(process.pid), f"unix:{home}/run/extauthz.sock"
            finally:
                process.terminate()


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", "")))}


def measured(
    server: psutil.Process, address: str, asked: list[Asked], count: int, streams: int
) -> tuple[float, Taken]:
    """The server's CPU seconds, and what came of so many Checks."""
    client = Client(address, asked)
    try:
        client.closed_loop(len(asked), streams)
        before = server.cpu_times()
        taken = client.closed_loop(count, streams)
        after = server.cpu_times()
    finally:
        client.close()
    return after.user + after.system - before.user - before.system, taken


def compared(what: str, servers: dict[str, tuple[psutil.Process, str]], asked: list[Asked]) -> None:
    """Both transports in turns, with 32 in flight and with one; the better of two."""
    for streams in (32, 1):
        costs: dict[str, float] = {}
        for transport, (process, address) in servers.items():
            count = (40_000 if transport == "fast" else 5_000) // (1 if streams > 1 else 5)
            runs = [measured(process, address, asked, count, streams) for _ in range(2)]
            cpu, taken = min(runs, key=lambda run: run[0])
            costs[transport] = cpu / count * 1e6
            print(
                f"{what}, {transport}, {streams} in flight: {count / taken.seconds:,.0f} Checks/s, "
                f"p50 {taken.quantile(0.5):.2f} ms, p99 {taken.quantile(0.99):.2f} ms, "
                f"{costs[transport]:.1f} µs of the server's CPU a Check",
                flush=True,
            )
        if len(costs) > 1:
            print(f"  grpcio costs {costs['grpcio'] / costs['fast']:.1f} times as much", flush=True)


def at_rate(servers: dict[str, tuple[psutil.Process, str]], asked: list[Asked]) -> None:
    """Latencies at a fixed rate, of the transport that can keep it up."""
    process, address = servers["fast"]
    client = Client(address, asked)
    try:
        client.closed_loop(len(asked), 1)
        before = process.cpu_times()
        taken = client.open_loop(3 * RATE, RATE)
        after = process.cpu_times()
    finally:
        client.close()
    share = (after.user + after.system - before.user - before.system) / taken.seconds
    print(
        f"full work, fast, at {RATE:,}/s: p50 {taken.quantile(0.5):.2f} ms, p99 {taken.quantile(0.99):.2f} ms, "
        f"{share:.0%} of a core"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rules", type=int, nargs="*", default=SIZES, help="sizes of the policy")
    parser.add_argument("--transports", nargs="*", default=TRANSPORTS)
    arguments = parser.parse_args()
    nothing = [Asked(each.message) for each in world(1)[1]]
    with contextlib.ExitStack() as stack:
        servers = {name: stack.enter_context(noop(name)) for name in arguments.transports}
        compared("no-op", servers, nothing)
    for rules in arguments.rules:
        with tempfile.TemporaryDirectory(prefix="gateledger-") as home, contextlib.ExitStack() as stack:
            policy = Path(home) / "policy.csv"
            text, asked = world(rules)
            policy.write_bytes(text)
            in_process(rules, policy, asked)
            servers = {name: stack.enter_context(full(name, policy)) for name in arguments.transports}
            compared(f"full work, {rules} rules", servers, asked)
            if rules == SIZES[-1] and "fast" in servers:
                at_rate(servers, asked)


if __name__ == "__main__":
    main()
