"""python -m extauthz: the decision point.

Exit codes: 0 stopped by a signal · 1 (--check) the policy has errors · 2 unusable settings or set-up.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import uvloop
from prometheus_client import CollectorRegistry

from extauthz.check import Checker
from extauthz.config_version import config_version
from extauthz.decide import Rules
from extauthz.decisions import DecisionJournal, Tally
from extauthz.engine import PolicyError, load, read
from extauthz.extensions import extensions_of
from extauthz.gate import Gate
from extauthz.journal import Journal
from extauthz.metrics import JournalCollector, Metrics
from extauthz.reload import PolicyStore
from extauthz.transports import Transports
from extauthz.watch import looks
from extauthz.watched_files import WatchedFiles
from gateledger.settings import Settings, SettingsError
from gateledger.settings import load as load_settings
from service import logs, probes
from service.addresses import check_address
from service.probes import AddressError

if TYPE_CHECKING:
    import structlog

    from extauthz.settings import ExtAuthzSettings

    Log = structlog.stdlib.BoundLogger

_FINDINGS = 1
_UNUSABLE = 2
_SWITCH_SECONDS = 0.0005
# Each worker journals its decisions into a directory of its own; there is one worker.
_WORKER = "0"
_GRACE_SECONDS = 1.0


@click.command()
@click.option(
    "--config", type=click.Path(path_type=Path), help="Settings file. Default: gateledger.yaml, if there."
)
@click.option(
    "--home",
    type=click.Path(path_type=Path),
    help="Where state lives. Default: $GATELEDGER_HOME, else .gateledger/.",
)
@click.option("--check", is_flag=True, help="Validate settings, model and policy, and exit.")
def main(config: Path | None, home: Path | None, *, check: bool) -> None:
    """The decision point: answers Envoy's Checks from the policy."""
    try:
        settings = load_settings(config, {"home": home} if home else {})
        for address in settings.extauthz.listen:
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
    """Serve until SIGTERM or SIGINT, then drain. Raises AddressError at the start only."""
    # The journal's thread wants a few microseconds between two fdatasyncs; with Python's 5 ms it would wait
    # longer for its turn than for the disk.
    sys.setswitchinterval(_SWITCH_SECONDS)
    stop = _signals()
    extauthz = settings.extauthz
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    journal = Journal(extauthz.journal or settings.home / "spool" / "extauthz")
    files = WatchedFiles(_policy_paths(extauthz), extauthz.settle_seconds)
    store = PolicyStore(files, extauthz.request, journal, metrics, log, extensions=extensions_of(extauthz))
    decisions = (extauthz.decisions or settings.home / "spool" / "decisions") / _WORKER
    tally = Tally()
    registry.register(JournalCollector(tally, decisions))
    kept = DecisionJournal(decisions, extauthz, tally, log)
    rules = Rules(extauthz.request, config_version(extauthz), extauthz.path_parameters)
    checker = Checker(extauthz, rules, store.snapshot, metrics.observe, log)

    def ready() -> tuple[bool, dict[str, object]]:
        detail = {"config_version": rules.config_version, **store.detail()}
        return store.snapshot().engine is not None, detail

    try:
        async with probes.serving(extauthz.metrics, registry, ready) as address:
            await kept.open()
            gate = Gate(checker, extauthz, kept)
            await _answer(extauthz, gate, store, stop, log.bind(metrics=address))
    finally:
        await kept.close()
        journal.close()
    log.info("stopped", decisions=tally.durable, dropped=tally.dropped.total())


async def _answer(
    extauthz: ExtAuthzSettings, gate: Gate, store: PolicyStore, stop: asyncio.Event, log: Log
) -> None:
    servers = Transports(gate, extauthz, log)
    addresses = await servers.listen()
    # The first policy is in place before the first Check can come.
    await store.refresh()
    # Also without a policy: Envoy asks none but healthy servers, and only an answer says why there is none.
    await servers.start()
    log.info("ready", listen=addresses, transport=extauthz.transport)
    # A file that has to rest is looked at again when it may have.
    seconds = min(extauthz.reload_seconds, extauthz.settle_seconds)
    async for _ in looks(store.directories, seconds, stop):
        await store.refresh()
    log.info("stopping", drain_seconds=extauthz.drain_seconds)
    await servers.set(serving=False)
    await gate.quiet(extauthz.drain_seconds)
    await servers.stop(_GRACE_SECONDS)


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
