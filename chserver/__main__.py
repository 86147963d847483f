"""The embedded ClickHouse as a process: `python -m chserver`."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

import click
import uvloop

from chserver.engine import Engine, EngineError
from chserver.serving import StartError, loopback, serve, service_of, users_of
from gateledger.settings import SettingsError, load
from service.logs import configure
from service.options import check_option, config_option, home_option
from service.probes import AddressError, bind

if TYPE_CHECKING:
    from pathlib import Path

    from gateledger.settings import Settings


@click.command()
@config_option
@home_option
@check_option
def main(config: Path | None, home: Path | None, *, check: bool) -> None:
    """Serve ClickHouse's HTTP interface over the embedded engine."""
    try:
        settings = load(config, {"home": home} if home else {})
        loopback(settings.chserver.listen)
        if not check:
            _run(settings)
    except (SettingsError, StartError, AddressError, EngineError) as error:
        click.echo(f"chserver: {error}", err=True)
        sys.exit(2)


def _run(settings: Settings) -> None:
    chserver = settings.chserver
    users = users_of(chserver)
    log = configure("chserver", settings.log.level)
    # The engine makes files of its own; none of them is anybody else's business.
    os.umask(0o077)
    with bind(chserver.listen) as listener:
        engine = Engine(chserver.data or settings.home / "clickhouse")
        service = service_of(engine, users, chserver)
        host, port = listener.getsockname()[:2]
        log.info("serving", address=f"{host}:{port}", engine=engine.version)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            idle = runner.run(serve(service, listener, log.debug))
    if not idle:
        # A thread inside the engine cannot be ended; what it did is whole on disk, or not there at all.
        log.warning("stopped with a query still running")
        os._exit(0)
    engine.close()
    log.info("stopped")


if __name__ == "__main__":
    main()
