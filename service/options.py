"""The command-line options that every process has, each in one place."""

from __future__ import annotations

from pathlib import Path

import click

config_option = click.option(
    "--config", type=click.Path(path_type=Path), help="Settings file. Default: gateledger.yaml, if there."
)
home_option = click.option(
    "--home",
    type=click.Path(path_type=Path),
    help="Where state lives. Default: $GATELEDGER_HOME, else .gateledger/.",
)
check_option = click.option("--check", is_flag=True, help="Validate the settings and exit.")
