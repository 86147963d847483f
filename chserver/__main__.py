"""The embedded ClickHouse as a process: `python -m chserver`."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import math
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import click
import uvicorn
import uvloop

from chserver.app import Service, application
from chserver.engine import Engine, EngineError
from chserver.users import Users
from gateledger.settings import SettingsError, load
from service.logs import configure
from service.probes import AddressError, bind

if TYPE_CHECKING:
    import socket

    from chserver.settings import ChServerSettings


class Unusable(Exception):
    """Settings or secrets with which chserver cannot start."""


def _password(settings: ChServerSettings) -> str:
    file = settings.writer_password_file
    if file is None:
        raise Unusable("chserver.writer_password_file: is not set; name the file with the writer's password")
    try:
        password = file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise Unusable(f"{file}: the writer's password cannot be read: {error.strerror}; write one, mode 0600") from error
    if not password:
        raise Unusable(f"{file}: the writer's password is empty; write one, mode 0600")
    return password


def _loopback(listen: str) -> None:
    host = listen.rpartition(":")[0].strip("[]")
    with contextlib.suppress(ValueError):
        if host == "localhost" or ipaddress.ip_address(host).is_loopback:
            return
    raise Unusable(
        f"chserver.listen: {listen} is not loopback; chserver has no TLS and a reader without password, "
        "use 127.0.0.1:PORT, or a ClickHouse server for other machines"
    )


async def _serve(service: Service, listener: socket.socket, drain_seconds: float) -> None:
    config = uvicorn.Config(
        application(service),
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        http="httptools",
        server_header=False,
        timeout_keep_alive=60,
        timeout_graceful_shutdown=math.ceil(drain_seconds),
    )
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, setattr, server, "should_exit", True)  # noqa: FBT003
    await server.serve(sockets=[listener])


@click.command()
@click.option("--config", type=click.Path(path_type=Path), help="Settings file. Default: gateledger.yaml, if there.")
@click.option("--home", type=click.Path(path_type=Path), help="Where state lives. Default: $GATELEDGER_HOME, else .gateledger/.")
@click.option("--check", is_flag=True, help="Validate the settings and exit.")
def main(config: Path | None, home: Path | None, check: bool) -> None:
    """Serve ClickHouse's HTTP interface over the embedded engine."""
    try:
        settings = load(config, {"home": home} if home else {})
        chserver = settings.chserver
        _loopback(chserver.listen)
        users = Users(chserver.writer_user, _password(chserver), chserver.reader_user)
        if check:
            return
        log = configure("chserver", settings.log.level)
        os.umask(0o077)
        listener = bind(chserver.listen)
        engine = Engine(chserver.data)
    except (SettingsError, Unusable, AddressError, EngineError) as error:
        click.echo(f"chserver: {error}", err=True)
        sys.exit(2)
    lane = ThreadPoolExecutor(4)
    log.info("serving", address=listener.getsockname()[:2], data=str(chserver.data), engine=engine.version)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(Service(engine, users, chserver, lane), listener, chserver.drain_seconds))
    lane.shutdown()
    engine.close()
    log.info("stopped")


if __name__ == "__main__":
    main()
