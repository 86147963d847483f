"""`gateledger envoy`: bootstraps, checked by the real Envoy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateledger.bootstrap import BootstrapError, as_json, read
from gateledger.cli.options import Unusable, common
from gateledger.gate_lint import problems
from gateledger.services.notes import notes
from gateledger.services.reading import ServicesError
from gateledger.services.reading import load as load_services
from gateledger.stack.programs import envoy_binary
from gateledger.validation import refusal

if TYPE_CHECKING:
    from gateledger.settings import Settings


@click.group("envoy")
def envoy() -> None:
    """Envoy bootstraps."""


@envoy.command("render")
@click.option(
    *("-f", "--services", "services_file"),
    type=click.Path(path_type=Path),
    default=Path("services.yaml"),
    show_default=True,
    help="Description of your services; docs/services.md.",
)
@click.option(
    *("-o", "--output"),
    type=click.Path(path_type=Path),
    required=True,
    help="Where the bootstrap goes, JSON.",
)
@click.option(
    "--admin-socket",
    type=click.Path(path_type=Path),
    help="Where Envoy puts its admin socket.  [HOME/run/envoy-admin.sock]",
)
@common
def render(settings: Settings, *, services_file: Path, output: Path, admin_socket: Path | None) -> None:
    """Make a bootstrap for your own services out of services.yaml.

    Beside FILE.json stand FILE.extauthz.yaml, the identity settings that extauthz needs to go with it, and
    FILE.secrets/, by which Envoy finds certificates and reads them again. The real Envoy checks the result;
    what it refuses is not left in FILE.

    \b
    A services.yaml that is enough (certificates, other credentials, limits: docs/services.md):
      upstreams:
        - {name: shop, addresses: ["10.0.0.5:8080"]}
      services:
        - {name: orders, upstream: shop, paths: [/orders]}
      identity:
        issuers:
          - {name: corp, issuer: "https://id.example.com", audiences: [shop], jwks_file: jwks.json}
    """
    from gateledger.render.command import rendered  # noqa: PLC0415 - half a second of types

    try:
        services = load_services(services_file)
        socket = (admin_socket or settings.home / "run" / "envoy-admin.sock").absolute()
        beside = rendered(settings, services, socket, output.absolute(), str(services_file))
    except (BootstrapError, ServicesError) as error:
        raise Unusable(str(error)) from error
    except OSError as error:
        raise Unusable(f"{error.filename or output}: cannot be written: {error.strerror}") from error
    for note in notes(services):
        click.echo(f"note: {note}", err=True)
    click.echo(f"{output}: Envoy accepts it")
    click.echo(f"{beside.extauthz}: what extauthz has to know to go with it", err=True)


@envoy.command("validate")
@click.argument("file", type=click.Path(path_type=Path))
@common
def validate(settings: Settings, *, file: Path) -> None:
    """Have the real Envoy check the bootstrap FILE (JSON or YAML, filled in).

    Exit code 0 when Envoy would start with it, 1 when not (its reason is printed), 2 when FILE
    or Envoy cannot be used.
    """
    if not file.is_file():
        raise Unusable(f"{file}: no such file; name a bootstrap, such as HOME/run/envoy.json")
    try:
        why = refusal(envoy_binary(settings), file)
    except BootstrapError as error:
        raise Unusable(str(error)) from error
    if why:
        click.echo(why, err=True)
        raise SystemExit(1)
    click.echo(f"{file}: fine")


@envoy.command("lint")
@click.argument("file", type=click.Path(path_type=Path))
@common
def lint(settings: Settings, *, file: Path) -> None:
    """Look for what lets requests pass the bootstrap FILE undecided or unrecorded, though Envoy would take it.

    `gateledger up` looks for the same before it starts. FILE is JSON or YAML, filled in; --config names the settings
    with the extauthz section that goes with it (FILE.extauthz.yaml, where it was rendered).

    Exit code 0 when nothing is found, 1 when something is (a line each), 2 when FILE cannot be used.
    """
    try:
        found = problems(json.loads(as_json(read(file), str(file))), settings.extauthz)
    except BootstrapError as error:
        raise Unusable(str(error)) from error
    except (AttributeError, TypeError, KeyError, ValueError) as error:
        # Lists for mappings and the like. Not Envoy's own check first: files that FILE names may be elsewhere.
        raise Unusable(
            f"{file}: is not shaped like a bootstrap; `gateledger envoy validate {file}` says where"
        ) from error
    for problem in found:
        click.echo(f"{file}: {problem}", err=True)
    if found:
        raise SystemExit(1)
    click.echo(f"{file}: nothing found")
