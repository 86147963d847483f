"""The Envoys that bench_stack.py compares: the shipped bootstrap, with and without the services, and a fast upstream.

All proxy to the same upstream, an Envoy that answers by itself: nothing here is faster. Each Envoy under test has one
worker thread, on a processor that nothing else of the benchmark uses, where there are two.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import os
import random
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateledger.stack.gate import Gate
from gateledger.stack.programs import envoy_binary

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from gateledger.stack.stack import Stack

_V3 = "type.googleapis.com/envoy.extensions.filters"
_ROUTER = "envoy.filters.http.router"
# What is there for the sake of the decision alone: asking for it, and the second lock behind it.
_DECIDING = {"envoy.filters.http.ext_authz", "second_lock"}


@dataclass(frozen=True, slots=True)
class Kind:
    """What an Envoy does beside proxying: by which transport it asks, whether it tells alslog, whether the rest of
    the shipped filters (tokens verified, trailers removed) is there.
    """

    authz: str = ""
    log: bool = False
    filters: bool = True


ALONE, SAME = "envoy alone", "the same envoy without the services"
ASKING = "with extauthz by fast"
FAST, GRPCIO = "with both, fast", "with both, grpcio"
KINDS = {
    ALONE: Kind(filters=False),
    SAME: Kind(),
    ASKING: Kind("fast"),
    FAST: Kind("fast", log=True),
    GRPCIO: Kind("grpcio", log=True),
}


@dataclass(frozen=True, slots=True)
class Processors:
    """Where the Envoy under test runs, and where all else does."""

    envoy: frozenset[int]
    rest: frozenset[int]


def processors() -> Processors:
    """One processor for Envoy alone; the same for all where there is only one."""
    there = sorted(os.sched_getaffinity(0))
    return Processors(frozenset(there[:1]), frozenset(there[1:] or there))


@dataclass
class Envoy:
    """One that runs."""

    address: str
    pid: int

    def worker_seconds(self) -> float:
        """CPU seconds of its worker thread so far."""
        return sum(seconds for name, seconds in _threads(self.pid) if name.startswith("wrk:"))


def cpu_seconds(pid: int) -> float:
    """CPU seconds of a process so far."""
    return sum(seconds for _, seconds in _threads(pid))


def _threads(pid: int) -> Iterator[tuple[str, float]]:
    for task in Path(f"/proc/{pid}/task").iterdir():
        # A thread may end while one looks.
        with contextlib.suppress(OSError):
            yield (task / "comm").read_text().strip(), int((task / "schedstat").read_text().split()[0]) / 1e9


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
async def envoys(stack: Stack, where: Processors) -> AsyncIterator[tuple[dict[str, Envoy], int]]:
    """The Envoys under test by name, and the upstream's process id."""
    home = stack.home.run
    filled = json.loads(stack.home.bootstrap_file.read_text())
    *ports, at = _free_ports(len(KINDS) + 1)
    upstream = {"socket_address": {"address": "127.0.0.1", "port_value": at}}
    started: list[subprocess.Popen[bytes]] = []
    found: dict[str, Envoy] = {}
    try:
        started.append(await _started(stack, _upstream(upstream), "bench-upstream", where.rest))
        for port, (name, kind) in zip(ports, KINDS.items(), strict=True):
            content = _of_kind(filled, home, kind, upstream)
            content["node"]["id"] = f"bench {name}"
            content["admin"]["address"]["pipe"]["path"] = str(home / f"bench-{port}.admin")
            content["static_resources"]["listeners"][0]["address"]["socket_address"]["port_value"] = port
            started.append(await _started(stack, content, f"bench-{port}", where.envoy))
            found[name] = Envoy(f"127.0.0.1:{port}", started[-1].pid)
        yield found, started[0].pid
    finally:
        for process in started:
            process.terminate()
            process.wait()


def _free_ports(count: int) -> list[int]:
    """So many that nobody listens on; none that the kernel may give to anybody's connection meanwhile."""
    found: list[int] = []
    candidates = random.sample(range(11_000, 15_000), 1_000)
    while len(found) < count:
        port = candidates.pop()
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
    return found


def _of_kind(filled: dict[str, Any], home: Path, kind: Kind, upstream: dict[str, Any]) -> dict[str, Any]:
    """The shipped bootstrap as `kind` wants it, before the benchmark's upstream."""
    content = copy.deepcopy(filled)
    static = content["static_resources"]
    by_name = {cluster["name"]: cluster for cluster in static["clusters"]}
    _point(by_name["upstream"], upstream)
    if kind.authz:
        _point(by_name["extauthz"], {"pipe": {"path": str(home / f"{kind.authz}.sock")}})
    manager = static["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    if not kind.authz:
        manager["http_filters"] = [
            one
            for one in manager["http_filters"]
            if (one["name"] not in _DECIDING if kind.filters else one["name"] == _ROUTER)
        ]
    if not kind.log:
        del manager["access_log"]
    return content


def _point(cluster: dict[str, Any], address: dict[str, Any]) -> None:
    cluster["load_assignment"]["endpoints"] = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]


def _upstream(address: dict[str, Any]) -> dict[str, Any]:
    """An Envoy that answers all by itself."""
    router = {"@type": f"{_V3}.http.router.v3.Router", "dynamic_stats": False}
    route = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "fine"}}}
    manager = {
        "@type": f"{_V3}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "upstream",
        "codec_type": "HTTP1",
        "generate_request_id": False,
        "http_filters": [{"name": _ROUTER, "typed_config": router}],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    listener = {
        "name": "upstream",
        "address": address,
        "filter_chains": [{"filters": filters}],
    }
    return {"static_resources": {"listeners": [listener]}}


async def _is_up(content: dict[str, Any]) -> bool:
    """Whether it answers, and sees its services; the upstream has none, and no admin socket."""
    if "admin" in content:
        return await Gate(Path(content["admin"]["address"]["pipe"]["path"])).is_open()
    at = content["static_resources"]["listeners"][0]["address"]["socket_address"]
    try:
        _, writer = await asyncio.open_connection(at["address"], at["port_value"])
    except OSError:
        return False
    writer.close()
    return True


async def _started(
    stack: Stack, content: dict[str, Any], name: str, where: frozenset[int]
) -> subprocess.Popen[bytes]:
    file = stack.home.run / f"{name}.json"
    file.write_text(json.dumps(content))
    options = ("--concurrency", "1", "--disable-hot-restart", "--log-level", "error")
    here = os.sched_getaffinity(0)
    # What is started inherits it, with all threads that it will have.
    os.sched_setaffinity(0, where)
    try:
        process = subprocess.Popen([envoy_binary(stack.settings), "-c", file, *options])
    finally:
        os.sched_setaffinity(0, here)
    while not await _is_up(content):
        assert process.poll() is None, f"Envoy does not start with {file}"
        await asyncio.sleep(0.05)  # Envoy says nothing when it is there; one has to look.
    return process
