"""`gateledger envoy`: bootstraps, checked by the real Envoy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateledger.bootstrap import BootstrapError
from gateledger.cli.options import Unusable, common
from gateledger.stack.programs import envoy_binary
from gateledger.validation import refusal

if TYPE_CHECKING:
    from gateledger.settings import Settings


@click.group("envoy")
def envoy() -> None:
    """Envoy bootstraps."""


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
