"""`gateledger envoy`: bootstraps, checked by the real Envoy."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateledger.cli.options import Unusable, common
from gateledger.stack.programs import envoy_binary

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
    binary = envoy_binary(settings)
    try:
        done = subprocess.run(  # noqa: S603 - the configured Envoy and a file that the user names
            [binary, "--mode", "validate", "--disable-hot-restart", "--log-level", "error", "-c", file],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        raise Unusable(f"{binary}: cannot be run: {error.strerror}; see the setting envoy.binary") from error
    if done.returncode == 0:
        click.echo(f"{file}: fine")
        return
    click.echo((done.stderr or done.stdout).strip(), err=True)
    raise SystemExit(1)
