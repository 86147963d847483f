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

from extauthz.identity_settings import Sources
from gateledger.assets import asset
from gateledger.bootstrap import BootstrapError
from gateledger.cli.options import Unusable, common_of_a_start
from gateledger.demo.issuer import IssuerError
from gateledger.services.model import identity_settings
from gateledger.services.notes import notes
from gateledger.services.reading import ServicesError
from gateledger.services.reading import load as load_services
from gateledger.stack.addresses import reserved, settle
from gateledger.stack.home import Home, HomeError
from gateledger.stack.process import StartError
from gateledger.stack.stack import Stack
from service.probes import AddressError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from gateledger.services.model import Services
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
async def running(
    settings: Settings, report: Callable[[str], None], *, demo: bool, services: Services | None = None
) -> AsyncIterator[Stack]:
    """A stack that is ready while the block runs, and gone after it, however the block ends.

    Without `services` it guards what the setting envoy.bootstrap says. Raises Unusable when it cannot be brought up.
    """
    try:
        with Home(settings.home) as home:
            stack = _stack(settings, home, report, demo, services)
            hurry = True
            try:
                await stack.start()
                yield stack
                hurry = False
            finally:
                await stack.stop(hurry=hurry)
    except (HomeError, AddressError, BootstrapError, StartError, IssuerError) as error:
        raise Unusable(str(error)) from error


def _stack(
    settings: Settings, home: Home, report: Callable[[str], None], demo: bool, services: Services | None
) -> Stack:
    if services is None:
        return Stack(settle(settings, demo=demo), home, report, demo=demo)
    with reserved(services) as settled:
        settings = settle(settings, demo=demo, gate=False)
    listen = settled.listeners[0].address
    envoy = settings.envoy.model_copy(update={"listen": listen})
    return Stack(settings.model_copy(update={"envoy": envoy}), home, report, demo=demo, services=settled)


def with_identity_of(settings: Settings, services: Services) -> Settings:
    """The settings with the services' word on who may call. Raises Unusable where the settings have their own."""
    extauthz = settings.extauthz
    for name, field in Sources.model_fields.items():
        if getattr(extauthz, name) != field.default:
            raise Unusable(
                f"the setting extauthz.{name} and --services both say who may call; leave it to the "
                f"services' file, under identity.{name}"
            )
    if settings.envoy.bootstrap:
        raise Unusable("the setting envoy.bootstrap and --services both say what is guarded; leave one out")
    identity = identity_settings(services)
    update = {name: getattr(identity, name) for name in type(identity).model_fields}
    return settings.model_copy(update={"extauthz": extauthz.model_copy(update=update)})


@click.command("up")
@click.option(
    *("--services", "services_file"),
    type=click.Path(path_type=Path),
    help="Guard the services of your own that this file describes; docs/services.md.",
)
@click.option("--demo", is_flag=True, help="Also run a sample upstream and a token issuer; loopback only.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the proxy; 0 takes a free one.  [10000]")
@click.option(
    "--clickhouse-port", type=click.IntRange(0, 65535), help="Port of the embedded ClickHouse.  [8123]"
)
@common_of_a_start
def up(
    settings: Settings,
    *,
    services_file: Path | None,
    demo: bool,
    port: int | None,
    clickhouse_port: int | None,
) -> None:
    """Run the proxy, its two services and the ledger in the foreground until Ctrl-C.

    Prints "gateledger is ready" once a request can pass. A process that dies is started again.
    Ctrl-C drains and stops everything; records that are not stored yet stay in the spool and
    are stored at the next start.

    \b
    Try:
      gateledger up --demo
      curl -i http://127.0.0.1:10000/orders/health
      gateledger up --services services.yaml
    """
    settings = _on_ports(settings, port, clickhouse_port)
    services = None
    if services_file:
        if demo:
            raise Unusable(
                "--demo and --services: the demo guards its own upstream; leave one of the two out"
            )
        services = _on_port(_loaded(services_file), port)
        settings = with_identity_of(settings, services)
        for note in (*notes(services), *_policy_notes(settings)):
            _report(f"note: {note}")
    asyncio.run(_up(demo_settings(settings) if demo else settings, demo=demo, services=services))


def _policy_notes(settings: Settings) -> Iterator[str]:
    if settings.extauthz.policy == asset("policies/policy.csv"):
        yield (
            "the sample policy decides, which was made for the demo's services; write your own and name it in the "
            "setting extauthz.policy"
        )


def _loaded(path: Path) -> Services:
    try:
        return load_services(path)
    except ServicesError as error:
        raise Unusable(str(error)) from error


def _on_port(services: Services, port: int | None) -> Services:
    if port is None:
        return services
    first, *others = services.listeners
    address = f"{first.address.rpartition(':')[0]}:{port}"
    return services.model_copy(update={"listeners": (first.model_copy(update={"address": address}), *others)})


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


async def _up(settings: Settings, *, demo: bool, services: Services | None) -> None:
    click.echo("starting gateledger …", err=True)
    stop, this = asyncio.Event(), asyncio.current_task()
    if this:
        _on_signal(this.cancel)
    try:
        async with running(settings, _report, demo=demo, services=services) as stack:
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
    for place, url in enumerate(stack.listeners):
        click.echo(f"  {'proxy' if place == 0 else '':<10}  {url}")
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
