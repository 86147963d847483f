"""Requests through the real Envoy: alone, with extauthz by either transport, with alslog too; and rows stored.

The route answers by itself (no upstream), so that what is measured is the gate. Load generator, Envoy
and services share the machine: compare the rows of one run, and the CPU time beside the rate.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import copy
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import load
import psutil
import uvloop

from gateledger.cli.demo import _settings as free_settings
from gateledger.cli.up import running
from gateledger.demo.issuer import DemoIssuer
from gateledger.stack.gate import Gate
from gateledger.stack.programs import envoy_binary
from service.clickhouse import connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from gateledger.stack.stack import Stack

CONNECTIONS = 32
# By which transport Checks go, if at all, and whether alslog is told.
VARIANTS = {
    "envoy alone": ("", False),
    "with extauthz by grpcio": ("grpcio", False),
    "with extauthz by fast": ("fast", False),
    "with extauthz by fast and alslog": ("fast", True),
    "with extauthz by grpcio and alslog": ("grpcio", True),
}
LOGGED = tuple(f"bench {name}" for name, (_, log) in VARIANTS.items() if log)


@dataclass
class Variant:
    """An Envoy of its own: same bootstrap, with or without the services."""

    address: str
    process: subprocess.Popen[bytes]


def bootstrap(
    filled: dict[str, Any], home: Path, name: str, port: int, *, authz: str, log: bool
) -> dict[str, Any]:
    content = copy.deepcopy(filled)
    content["node"]["id"] = f"bench {name}"
    content["admin"]["address"]["pipe"]["path"] = str(home / f"{port}.sock")
    listener = content["static_resources"]["listeners"][0]
    listener["address"]["socket_address"]["port_value"] = port
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    for route in manager["route_config"]["virtual_hosts"][0]["routes"]:
        del route["route"]
        route["direct_response"] = {"status": 200, "body": {"inline_string": "fine"}}
    for cluster in content["static_resources"]["clusters"]:
        if cluster["name"] == "extauthz" and authz:
            endpoint = {"endpoint": {"address": {"pipe": {"path": str(home / f"{authz}.sock")}}}}
            cluster["load_assignment"]["endpoints"][0]["lb_endpoints"] = [endpoint]
    if not authz:
        manager["http_filters"] = manager["http_filters"][-1:]
    if not log:
        del manager["access_log"]
    return content


@contextlib.contextmanager
def extauthz(stack: Stack, transport: str) -> Iterator[int]:
    """A decision point of its own, set up as the stack's; its process id."""
    home = stack.home.run
    section = stack.settings.extauthz.model_dump(mode="json", exclude_unset=True) | {
        "transport": transport,
        "metrics": "127.0.0.1:0",
        "listen": [f"unix:{home / transport}.sock"],
        "journal": str(home / f"{transport}-policies"),
        "decisions": str(home / f"{transport}-decisions"),
    }
    config = home / f"{transport}.json"
    config.write_text(json.dumps({"extauthz": section}))
    command = [sys.executable, "-m", "extauthz", "--config", str(config), "--home", str(home / transport)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            said = ""
            for line in process.stderr:
                said += line
                if '"ready"' in line:
                    break
            assert '"ready"' in said, said
            yield process.pid
        finally:
            process.terminate()


@contextlib.asynccontextmanager
async def variants(stack: Stack) -> AsyncIterator[dict[str, Variant]]:
    home = stack.home.run
    filled = json.loads(stack.home.bootstrap_file.read_text())
    started: dict[str, Variant] = {}
    try:
        for number, (name, (authz, log)) in enumerate(VARIANTS.items()):
            port = int(stack.settings.envoy.listen.rpartition(":")[2]) + 1 + number
            file = home / f"bench-{number}.json"
            file.write_text(json.dumps(bootstrap(filled, home, name, port, authz=authz, log=log)))
            command = [
                envoy_binary(stack.settings),
                "-c",
                file,
                "--concurrency",
                "1",
                "--disable-hot-restart",
            ]
            process = subprocess.Popen([*command, "--log-level", "error"])
            started[name] = Variant(f"127.0.0.1:{port}", process)
            while not await Gate(home / f"{port}.sock").is_open():
                await asyncio.sleep(0.05)
        yield started
    finally:
        for variant in started.values():
            variant.process.terminate()
            variant.process.wait()


def cpu(pids: dict[str, int]) -> dict[str, float]:
    """CPU seconds of each process so far."""
    return {name: sum(psutil.Process(pid).cpu_times()[:2]) for name, pid in pids.items()}


async def measure(seconds: float, rounds: int) -> None:
    with tempfile.TemporaryDirectory(prefix="gl-bench-") as directory:
        settings = free_settings(Path(directory))
        async with running(settings, lambda line: print(line, file=sys.stderr), demo=True) as stack:
            token = DemoIssuer(settings.home / "demo").token("alice", ["customer"], time.time(), 3600)
            request = f"GET /orders/1 HTTP/1.1\r\nhost: orders.example\r\nauthorization: Bearer {token}\r\n\r\n".encode()
            with extauthz(stack, "fast") as fast, extauthz(stack, "grpcio") as grpcio:
                services = {"fast": fast, "grpcio": grpcio, "alslog": stack.processes()["alslog"] or 0}
                async with variants(stack) as envoys:
                    await _rounds(stack, envoys, services, request, seconds=seconds, rounds=rounds)


async def _rounds(
    stack: Stack,
    envoys: dict[str, Variant],
    services: dict[str, int],
    request: bytes,
    *,
    seconds: float,
    rounds: int,
) -> None:
    rates: dict[str, list[float]] = {name: [] for name in envoys}
    costs: dict[str, dict[str, list[float]]] = {name: {} for name in envoys}
    latencies: dict[str, list[tuple[float, float]]] = {name: [] for name in envoys}
    logged, stored_rates = 0, []
    for envoy in envoys.values():
        await load.run(envoy.address, request, CONNECTIONS, 0.5)
    logged = await _stored(stack, 0, 5)
    for _ in range(rounds):
        for name, envoy in envoys.items():
            pids = {"envoy": envoy.process.pid, **services}
            before, began = cpu(pids), time.perf_counter()
            done = await load.run(envoy.address, request, CONNECTIONS, seconds)
            assert set(done.statuses) == {200}, done.statuses
            total = done.statuses.total()
            if VARIANTS[name][1]:
                logged = await _stored(stack, logged + total, 60)
                stored_rates.append(total / (time.perf_counter() - began))
            after = cpu(pids)
            rates[name].append(done.per_second)
            latencies[name].append((done.quantile(0.5), done.quantile(0.99)))
            for process in pids:
                costs[name].setdefault(process, []).append(1e6 * (after[process] - before[process]) / total)
    alone = statistics.median(rates["envoy alone"])
    for name in envoys:
        rate = statistics.median(rates[name])
        p50, p99 = (1e3 * statistics.median(pair[i] for pair in latencies[name]) for i in (0, 1))
        each = ", ".join(f"{process} {statistics.median(cost):.1f}" for process, cost in costs[name].items())
        print(
            f"{name}: {rate:,.0f} requests/s ({rate / alone:.2f} of Envoy alone), p50 {p50:.2f} ms, p99 {p99:.2f} ms; "
            f"CPU us a request: {each}"
        )
    both = [statistics.median(rates[f"with extauthz by {name} and alslog"]) for name in ("fast", "grpcio")]
    print(
        f"both services, fast: {both[0] / alone:.2f} of Envoy alone, {both[0] / both[1]:.2f} of grpcio's rate"
    )
    print(
        f"rows stored and queryable under that load: {statistics.median(stored_rates):,.0f} rows/s, none missing"
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
            await asyncio.sleep(0.25)
    finally:
        client.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3, help="length of a run")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each variant; the median is printed")
    arguments = parser.parse_args()
    uvloop.run(measure(arguments.seconds, arguments.rounds))
