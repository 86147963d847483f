"""python -m alslog: the access log service, from Envoy's streams to the spool.

Exit codes: 0 stopped by a signal, nothing lost · 1 the disk failed · 2 unusable settings or set-up.
"""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, NoReturn

import click
from prometheus_client import CollectorRegistry

from alslog.intake import Intake, Tally
from alslog.metrics import AlsCollector
from alslog.server import SERVICE, Receiver, add_receiver, make_server
from gateledger.settings import Settings, SettingsError, load
from service import logs, memory, probes
from service.addresses import check_address
from service.grpc_server import add_health, bind
from service.options import check_option, config_option, home_option
from service.probes import AddressError
from spool import Appender, SpoolError

if TYPE_CHECKING:
    from pathlib import Path

    import structlog

    from alslog.settings import AlsLogSettings

    Log = structlog.stdlib.BoundLogger

_DISK_FAILED = 1
_UNUSABLE = 2
_GRACE_SECONDS = 1.0
# About what is received between two writes to the disk.
_KEPT_BYTES = 64 << 20
# About what waits in the spool under a full load that ClickHouse keeps up with.
_REUSE_BYTES = 384 << 20


@click.command()
@config_option
@home_option
@check_option
def main(config: Path | None, home: Path | None, *, check: bool) -> None:
    """The access log service: takes Envoy's access log streams and makes them durable."""
    try:
        settings = load(config, {"home": home} if home else {})
        check_address(settings.alslog.listen)
        if check:
            click.echo("alslog: the settings are fine")
            return
        memory.keep(_KEPT_BYTES)
        asyncio.run(serve(settings, logs.configure("alslog", settings.log.level)))
    except (SettingsError, AddressError, SpoolError) as error:
        click.echo(f"alslog: {error}", err=True)
        raise SystemExit(_UNUSABLE) from error


async def serve(settings: Settings, log: Log) -> None:
    """Serve until SIGTERM or SIGINT, then drain. Raises AddressError and SpoolError at the start only."""
    stop = _signals()
    alslog = settings.alslog
    spool = alslog.spool or settings.home / "spool" / "alslog"
    status = settings.ledger.status or settings.home / "run" / "ledger.json"
    appender = _appender(alslog, spool, log)
    try:
        tally = Tally()
        registry = CollectorRegistry()
        registry.register(AlsCollector(tally, spool, status))
        intake = Intake(appender, tally, alslog.unsynced_max_bytes, log)

        def ready() -> tuple[bool, dict[str, object]]:
            return not appender.full, {"spool": str(spool), "full": appender.full}

        async with probes.serving(alslog.metrics, registry, ready) as metrics:
            await _receive(alslog, Receiver(intake, tally, log), intake, stop, log.bind(metrics=metrics))
    finally:
        appender.close()
    log.info("stopped", entries=tally.entries, dropped=tally.dropped.total())


async def _receive(
    alslog: AlsLogSettings,
    receiver: Receiver,
    intake: Intake,
    stop: asyncio.Event,
    log: Log,
) -> None:
    server = make_server(alslog.max_message_bytes)
    add_receiver(server, receiver)
    health = await add_health(server, (SERVICE,))
    address = bind(server, alslog.listen, alslog.tls)
    await server.start()
    await health.set(serving=True)
    log.info("ready", listen=address)
    await stop.wait()
    log.info("stopping", drain_seconds=alslog.drain_seconds)
    await health.set(serving=False)
    await receiver.drain(alslog.drain_seconds)
    if lost := await intake.settle(_GRACE_SECONDS):
        log.error("the spool stayed full, received entries are lost", entries=lost)
    await server.stop(_GRACE_SECONDS)


def _appender(alslog: AlsLogSettings, spool: Path, log: Log) -> Appender:
    def fail(error: SpoolError) -> NoReturn:
        """End at once: what fsync left on the disk is unknown, so nothing may be answered any more."""
        log.critical("the spool failed, alslog ends", error=str(error))
        os._exit(_DISK_FAILED)

    appender = Appender(
        spool,
        segment_bytes=alslog.segment_bytes,
        segment_seconds=alslog.segment_seconds,
        reuse_bytes=_REUSE_BYTES,
        max_bytes=alslog.spool_max_bytes,
        reserve_bytes=alslog.spool_reserve_bytes,
        on_failure=fail,
    )
    for found in appender.recovered:
        (log.warning if found.torn_bytes or found.damaged else log.info)(
            "recovered a segment that was left open",
            segment=found.name,
            records=found.records,
            torn_bytes=found.torn_bytes,
            damaged=found.damaged,
        )
    return appender


def _signals() -> asyncio.Event:
    """Set by SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


if __name__ == "__main__":
    main()
