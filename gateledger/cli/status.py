"""`gateledger status`: what runs, since when, and how far the ledger is."""

from __future__ import annotations

import json
import os
import re
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import httpx

from gateledger.cli.options import Unusable, common, format_option
from gateledger.cli.output import emit
from gateledger.settings import spools_of
from gateledger.stack.home import HomeError, read_ready
from gateledger.stack.programs import ledger_status
from spool import usage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateledger.settings import Settings

# Above what a service itself waits for a worker that hangs.
_ANSWER_SECONDS = 5


@click.command("status")
@format_option
@common
def status(settings: Settings, *, format_: str) -> None:
    """What runs, since when, the policy version, rows stored and records waiting.

    Exit code 0 when every process runs and can do its work, 1 when one cannot, 2 when no stack
    runs in this home.
    """
    try:
        ready = read_ready(settings.home)
    except HomeError as error:
        raise Unusable(str(error)) from error
    found = collect(settings, ready)
    if format_ == "json":
        click.echo(json.dumps(found, indent=2))
    elif format_ == "csv":
        emit(("name", "value"), list(named_values(found)), format_)
    else:
        _show(found)
    running = all(process["running"] for process in found["processes"])
    if found.get("degraded") or not running or not all(found["ready"].values()):
        raise SystemExit(1)


def collect(settings: Settings, ready: dict[str, Any]) -> dict[str, Any]:
    """The state of a running stack as one JSON-able object. Sizes in bytes, times in epoch seconds."""
    written = ledger_status(settings.ledger.status)
    spools = {name: usage(spool) for name, spool in spools_of(settings).items()}
    oldest = min((one.oldest for one in spools.values() if one.oldest), default=None)
    journal = _metrics(ready["metrics"]["extauthz"])
    received = _metrics(ready["metrics"]["alslog"])
    services = {name: _readiness(url) for name, url in sorted(ready["metrics"].items())}
    decided_by = services.get("extauthz", {})
    return {
        "proxy": ready["proxy"],
        "clickhouse": {"url": ready["clickhouse"], "state": written.get("clickhouse", "unknown")},
        "processes": [_process(name, pid, ready) for name, pid in sorted(ready["pids"].items())],
        "ready": {name: bool(service.get("ready")) for name, service in services.items()},
        # The processes of extauthz that answer Checks, where there are several.
        "workers": decided_by.get("workers", []),
        "degraded": decided_by.get("degraded", []),
        "policy_version": decided_by.get("policy_version"),
        "policy_refused": decided_by.get("refused"),
        "rows_stored": written.get("stored_total", 0),
        "decisions_stored": written.get("decisions_total", 0),
        "entries_unparsed": written.get("unparsed_total", 0),
        "bytes_waiting": sum(one.bytes for one in spools.values()),
        "waiting": {name: one.bytes for name, one in spools.items() if one.bytes},
        "oldest_waiting_seconds": round(time.time() - oldest, 3) if oldest else 0,
        "dropped": {
            **_by_cause("alslog", received, "gateledger_als_dropped_total"),
            **_by_cause("journal", journal, "gateledger_journal_dropped_total"),
            **_by_envoy(Path(ready["envoy_admin"].removeprefix("unix:"))),
        },
        "last_error": written.get("last_error"),
    }


def named_values(found: object, name: str = "") -> Iterator[tuple[str, object]]:
    """Every value of the object with the way to it, as in `processes.envoy.running`; a list as its elements' names, or 0, 1, …"""
    if isinstance(found, dict):
        inner = [(str(key), value) for key, value in found.items()]
    elif isinstance(found, list):
        named = [one.get("name") if isinstance(one, dict) else None for one in found]
        inner = [
            (own or str(number), one) for number, (own, one) in enumerate(zip(named, found, strict=True))
        ]
    else:
        yield name, found
        return
    for key, value in inner:
        yield from named_values(value, f"{name}.{key}" if name else key)


def _process(name: str, pid: int | list[int] | None, ready: dict[str, Any]) -> dict[str, Any]:
    pids = pid if isinstance(pid, list) else [pid] if pid else []
    return {
        "name": name,
        "pids": pids,
        "running": bool(pids) and all(_alive(one) for one in pids),
        "since": ready["started_at"].get(name),
        "restarts": ready["restarts"].get(name, 0),
    }


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _readiness(metrics: str) -> dict[str, Any]:
    """What a service's /readyz says; not ready where it does not answer."""
    try:
        found: dict[str, Any] = httpx.get(
            f"{metrics}/readyz", timeout=_ANSWER_SECONDS, trust_env=False
        ).json()
    except (httpx.HTTPError, ValueError):
        return {"ready": False}
    return found


def _metrics(address: str) -> str:
    """What the service says of itself; nothing where it does not answer."""
    try:
        return httpx.get(f"{address}/metrics", timeout=_ANSWER_SECONDS, trust_env=False).text
    except httpx.HTTPError:
        return ""


def _by_cause(who: str, text: str, metric: str) -> dict[str, int]:
    """What was dropped since the process started, by who dropped it and why; only what was."""
    dropped: Counter[str] = Counter()
    for cause, count in re.findall(rf'^{metric}\{{cause="(\w+)".*\}} ([0-9.e+]+)$', text, re.MULTILINE):
        dropped[f"{who}: {cause}"] += int(float(count))
    return {name: count for name, count in dropped.items() if count}


def _by_envoy(admin_socket: Path) -> dict[str, int]:
    """The entries that Envoy dropped since it started, because its buffer was full."""
    transport = httpx.HTTPTransport(uds=str(admin_socket))
    try:
        with httpx.Client(transport=transport, base_url="http://envoy-admin", timeout=2) as client:
            text = client.get("/stats", params={"filter": r"grpc_access_log\.logs_dropped$"}).text
    except httpx.HTTPError:
        return {}
    dropped = sum(int(count) for count in re.findall(r": (\d+)$", text, re.MULTILINE))
    return {"envoy: buffer_full": dropped} if dropped else {}


def _show(found: dict[str, Any]) -> None:
    now = time.time()
    for process in found["processes"]:
        state = f"up {_duration(now - process['since'])}" if process["running"] else "down"
        pids = ",".join(str(pid) for pid in process["pids"]) or "-"
        click.echo(f"{process['name']:<10} {state:<14} pid {pids:<8} restarts {process['restarts']}")
    for worker in found["workers"]:
        state = f"up {_duration(now - worker['since'])}" if worker["serving"] else "down"
        click.echo(
            f"{'worker ' + str(worker['worker']):<10} {state:<14} pid {worker['pid'] or '-':<8} restarts "
            f"{worker['restarts']}  policy {(worker['policy_version'] or 'none')[:12]}"
        )
    click.echo(f"{'proxy':<10} {found['proxy']}")
    click.echo(f"{'clickhouse':<10} {found['clickhouse']['url']} ({found['clickhouse']['state']})")
    click.echo(f"{'policy':<10} {found['policy_version'] or 'unknown'}")
    click.echo(
        f"{'ledger':<10} {found['rows_stored']} rows stored, {found['bytes_waiting']} bytes waiting"
        f" (oldest {found['oldest_waiting_seconds']:g} s), {found['entries_unparsed']} entries unparsed"
    )
    click.echo(f"{'journal':<10} {found['decisions_stored']} decisions stored")
    for cause, count in found["dropped"].items():
        click.echo(f"{'dropped':<10} {count} ({cause})")
    for why in found["degraded"]:
        click.echo(f"{'degraded':<10} {why}")
    for name, fine in found["ready"].items():
        if not fine:
            click.echo(f"{name:<10} is not ready: see its log")
    if refused := found["policy_refused"]:
        click.echo(f"{'refused':<10} a changed policy: {refused['reason']}; the one above goes on deciding")
        for finding in refused["findings"]:
            click.echo(f"{'':<10} {finding}")
    if found["last_error"]:
        click.echo(f"{'error':<10} {found['last_error']}")


def _duration(seconds: float) -> str:
    whole = int(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return (
        f"{hours} h {minutes} min" if hours else f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"
    )
