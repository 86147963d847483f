"""`gateledger up`: the whole stack in the foreground."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateledger.assets import asset
from gateledger.bootstrap import BootstrapError
from gateledger.cli.options import Unusable, common_of_a_start
from gateledger.demo.issuer import IssuerError
from gateledger.stack.addresses import settle
from gateledger.stack.home import Home, HomeError
from gateledger.stack.process import StartError
from gateledger.stack.stack import Stack
from service.probes import AddressError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gateledger.settings import Settings

INTERRUPTED = 130
DEMO_ISSUER = {"name": "demo", "subject": "{sub}", "roles_claim": "roles", "roles": ("*",)}


def demo_settings(settings: Settings) -> Settings:
    """The settings with the demo's bootstrap and issuer where none of one's own are named."""
    envoy, extauthz = settings.envoy, settings.extauthz
    if envoy.bootstrap is None:
        envoy = envoy.model_copy(update={"bootstrap": asset("envoy/bootstrap.yaml")})
    if not extauthz.issuers:
        changed = {**extauthz.model_dump(), "issuers": (DEMO_ISSUER,)}
        extauthz = type(extauthz).model_validate(changed)
    return settings.model_copy(update={"envoy": envoy, "extauthz": extauthz})


@contextlib.asynccontextmanager
async def running(settings: Settings, report: Callable[[str], None], *, demo: bool) -> AsyncIterator[Stack]:
    """A stack that is ready while the block runs, and gone after it, however the block ends.

    Raises Unusable when it cannot be brought up.
    """
    try:
        with Home(settings.home) as home:
            stack = Stack(settle(settings, demo=demo), home, report, demo=demo)
            hurry = True
            try:
                await stack.start()
                yield stack
                hurry = False
            finally:
                await stack.stop(hurry=hurry)
    except (HomeError, AddressError, BootstrapError, StartError, IssuerError) as error:
        raise Unusable(str(error)) from error


@click.command("up")
@click.option("--demo", is_flag=True, help="Also run a sample upstream and a token issuer; loopback only.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the proxy; 0 takes a free one.  [10000]")
@click.option(
    "--clickhouse-port", type=click.IntRange(0, 65535), help="Port of the embedded ClickHouse.  [8123]"
)
@common_of_a_start
def up(settings: Settings, *, demo: bool, port: int | None, clickhouse_port: int | None) -> None:
    """Run the proxy, its two services and the ledger in the foreground until Ctrl-C.

    Prints "gateledger is ready" once a request can pass. A process that dies is started again.
    Ctrl-C drains and stops everything; records that are not stored yet stay in the spool and
    are stored at the next start.

    \b
    Try:
      gateledger up --demo
      curl -i http://127.0.0.1:10000/orders/health
    """
    settings = _on_ports(settings, port, clickhouse_port)
    asyncio.run(_up(demo_settings(settings) if demo else settings, demo=demo))


def _on_ports(settings: Settings, port: int | None, clickhouse_port: int | None) -> Settings:
    if port is not None:
        host = settings.envoy.listen.rpartition(":")[0]
        envoy = settings.envoy.model_copy(update={"listen": f"{host}:{port}"})
        settings = settings.model_copy(update={"envoy": envoy})
    if clickhouse_port is not None:
        if not settings.embedded:
            raise Unusable(
                f"--clickhouse-port: the setting clickhouse.url names a server ({settings.clickhouse.url}), "
                "so no embedded one runs; leave one of the two out"
            )
        host = settings.chserver.listen.rpartition(":")[0]
        chserver = settings.chserver.model_copy(update={"listen": f"{host}:{clickhouse_port}"})
        clickhouse = settings.clickhouse.model_copy(update={"url": f"http://{chserver.listen}"})
        settings = settings.model_copy(update={"chserver": chserver, "clickhouse": clickhouse})
    return settings


async def _up(settings: Settings, *, demo: bool) -> None:
    click.echo("starting gateledger …", err=True)
    stop, this = asyncio.Event(), asyncio.current_task()
    if this:
        _on_signal(this.cancel)
    try:
        async with running(settings, _report, demo=demo) as stack:
            _on_signal(stop.set)
            _welcome(stack)
            await stop.wait()
            click.echo("stopping: draining requests and records (Ctrl-C again to hurry) …", err=True)
            _on_signal(stack.kill)
    except asyncio.CancelledError:
        click.echo("stopped before it was ready", err=True)
        raise SystemExit(INTERRUPTED) from None
    else:
        click.echo("stopped", err=True)


def _on_signal(action: Callable[[], object]) -> None:
    # SIGHUP: the terminal or the connection is gone; that is a stop like any other.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, action)


def _report(sentence: str) -> None:
    click.echo(sentence, err=True)


def _welcome(stack: Stack) -> None:
    settings = stack.settings
    click.echo("gateledger is ready")
    click.echo(f"  proxy       http://{settings.envoy.listen}")
    click.echo(
        f"  clickhouse  {settings.clickhouse.url}  (user {settings.clickhouse.reader_user}, read-only)"
    )
    click.echo(f"  home        {settings.home}")
    if stack.demo:
        command = shlex.quote(_invocation())
        here = settings.home == Path.cwd() / ".gateledger"
        home = "" if here else f" --home {shlex.quote(str(settings.home))}"
        click.echo("try, in another terminal")
        click.echo(f"  TOKEN=$({command} token alice --role customer{home})")
        click.echo(f'  curl -i -H "Authorization: Bearer $TOKEN" http://{settings.envoy.listen}/orders/1')
        click.echo(f'  curl -i -H "Authorization: Bearer $TOKEN" http://{settings.envoy.listen}/admin/users')
        click.echo(f"  {command} audit denied{home}")


def _invocation() -> str:
    """How the user can call gateledger from where they are."""
    if shutil.which("gateledger"):
        return "gateledger"
    return os.path.relpath(sys.argv[0])
