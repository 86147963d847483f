"""python -m extauthz: the decision point.

Exit codes: 0 stopped by a signal · 1 (--check) the policy has errors · 2 unusable settings or set-up.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING

import click
import uvloop
from prometheus_client import CollectorRegistry

from extauthz.config_version import config_version
from extauthz.engine import PolicyError, load, read
from extauthz.extensions import extensions_of
from extauthz.journal import Journal
from extauthz.left_over import seal_left_over
from extauthz.point import DecisionPoint
from extauthz.reload import PolicyStore
from extauthz.watch import looks
from extauthz.watched_files import WatchedFiles
from extauthz.workers.fleet import Fleet
from extauthz.workers.told import Reloads, Told
from extauthz.workers.worker import SWITCH_SECONDS
from gateledger.settings import Settings, SettingsError
from gateledger.settings import load as load_settings
from service import logs, probes
from service.addresses import check_address
from service.options import config_option, home_option
from service.probes import AddressError

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    import structlog

    from extauthz.deciding import Decider
    from extauthz.reload import Counts
    from extauthz.settings import ExtAuthzSettings

    Log = structlog.stdlib.BoundLogger

_FINDINGS = 1
_UNUSABLE = 2


@click.command()
@config_option
@home_option
@click.option("--check", is_flag=True, help="Validate settings, model and policy, and exit.")
def main(config: Path | None, home: Path | None, *, check: bool) -> None:
    """The decision point: answers Envoy's Checks from the policy."""
    try:
        settings = load_settings(config, {"home": home} if home else {})
        for address in settings.extauthz.addresses:
            check_address(address)
        if check:
            raise SystemExit(lint(settings.extauthz))
        uvloop.run(serve(settings, logs.configure("extauthz", settings.log.level)))
    except (SettingsError, AddressError, PolicyError) as error:
        click.echo(f"extauthz: {error}", err=True)
        raise SystemExit(_UNUSABLE) from error


def lint(settings: ExtAuthzSettings) -> int:
    """Tell what is wrong with model and policy; the exit code. Raises PolicyError for unreadable files."""
    engine, findings = load(read(*_policy_paths(settings)), settings.request, extensions_of(settings))
    for finding in findings:
        click.echo(finding, err=True)
    if engine is None:
        return _FINDINGS
    click.echo(f"extauthz: settings and policy are fine, version {engine.version}")
    return 0


async def serve(settings: Settings, log: Log) -> None:
    """Serve until SIGTERM or SIGINT, then drain. Raises AddressError and PolicyError at the start only."""
    stop = _signals()
    if settings.extauthz.decisions:
        await asyncio.to_thread(seal_left_over, settings.extauthz.decisions, settings.extauthz.workers, log)
    journal = Journal(settings.extauthz.journal or settings.home / "spool" / "extauthz")
    try:
        await (_alone if settings.extauthz.workers == 1 else _many)(settings, journal, stop, log)
    finally:
        journal.close()


async def _alone(settings: Settings, journal: Journal, stop: asyncio.Event, log: Log) -> None:
    """One process: it loads policies and answers Checks."""
    # The journal's thread wants a few microseconds between two fdatasyncs; with Python's 5 ms it would wait
    # longer for its turn than for the disk.
    sys.setswitchinterval(SWITCH_SECONDS)
    extauthz = settings.extauthz
    registry = CollectorRegistry()
    point = DecisionPoint(extauthz, 0, registry, log)
    store = _store(extauthz, point.decider, journal, point.metrics, log)

    def ready() -> tuple[bool, dict[str, object]]:
        detail = {"config_version": config_version(extauthz), **store.detail()}
        return point.decider.snapshot().engine is not None, detail

    try:
        async with probes.serving(extauthz.metrics, registry, ready) as address:
            addresses = await point.open()
            # The first policy is in place before the first Check can come.
            await store.refresh()
            await point.start()
            log.info("ready", listen=addresses, transport=extauthz.transport, metrics=address)
            await _watch(extauthz, store, stop)
            log.info("stopping", drain_seconds=extauthz.drain_seconds)
            await point.stop()
    finally:
        await point.close()
    log.info("stopped", decisions=point.tally.durable, dropped=point.tally.dropped.total())


async def _many(settings: Settings, journal: Journal, stop: asyncio.Event, log: Log) -> None:
    """Several processes: the workers answer Checks; here policies are loaded, and the workers looked after."""
    extauthz = settings.extauthz
    registry = CollectorRegistry()
    fleet = Fleet(extauthz, settings.log.level, log)
    registry.register(Told(fleet.members))
    store = _store(extauthz, fleet, journal, Reloads(registry), log)

    def ready() -> tuple[bool, dict[str, object]]:
        fine, detail = fleet.readiness()
        return fine, {"config_version": config_version(extauthz), **store.detail(), **detail}

    async def run(address: str) -> None:
        addresses = await fleet.open()
        await store.refresh()
        # A worker that never comes up must not keep the others from a new policy.
        await asyncio.gather(begin(address, addresses), _watch(extauthz, store, stop))

    async def begin(address: str, addresses: list[str]) -> None:
        await fleet.start()
        log.info(
            "ready", listen=addresses, transport=extauthz.transport, metrics=address, workers=extauthz.workers
        )

    try:
        async with probes.serving(extauthz.metrics, registry, ready, fleet.refresh) as address:
            try:
                await _unless_stopped(run(address), stop)
                log.info("stopping", drain_seconds=extauthz.drain_seconds)
            finally:
                await fleet.stop()
    finally:
        log.info("stopped")


def _store(
    settings: ExtAuthzSettings, decider: Decider, journal: Journal, metrics: Counts, log: Log
) -> PolicyStore:
    files = WatchedFiles(_policy_paths(settings), settings.settle_seconds)
    return PolicyStore(files, decider, journal, metrics, log)


async def _watch(settings: ExtAuthzSettings, store: PolicyStore, stop: asyncio.Event) -> None:
    # A file that has to rest is looked at again when it may have.
    seconds = min(settings.reload_seconds, settings.settle_seconds)
    async for _ in looks(store.directories, seconds, stop):
        await store.refresh()


async def _unless_stopped(work: Coroutine[object, object, None], stop: asyncio.Event) -> None:
    """Do the work; a stop ends it wherever it is, for it may wait for a worker that does not come."""
    working, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if stop.is_set():
        working.cancel()
        await asyncio.wait((working,))
    if not working.cancelled():
        working.result()


def _policy_paths(settings: ExtAuthzSettings) -> tuple[Path, Path]:
    if settings.model is None or settings.policy is None:
        raise SettingsError("extauthz.model and extauthz.policy are not set; gateledger.settings.load does")
    return settings.model, settings.policy


def _signals() -> asyncio.Event:
    """Set by SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


if __name__ == "__main__":
    main()
