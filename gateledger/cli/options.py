"""Options that every command shares, and the one form in which a command refuses."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gateledger.settings import SettingsError, load

if TYPE_CHECKING:
    from collections.abc import Callable

Command = TypeVar("Command", bound="Callable[..., object]")


class Unusable(click.ClickException):
    """Unusable input or set-up: exit code 2. The message says what, where, why and what to do."""

    exit_code = 2


def common(command: Command) -> Callable[..., object]:
    """Add --config and --home, and pass the loaded settings as `settings`."""

    @click.option(
        "--config", type=click.Path(path_type=Path), help="Settings file. Default: gateledger.yaml, if there."
    )
    @click.option(
        "--home",
        type=click.Path(path_type=Path),
        help="Where state lives. Default: $GATELEDGER_HOME, else .gateledger/.",
    )
    @functools.wraps(command)
    def with_settings(*args: Any, config: Path | None, home: Path | None, **options: Any) -> object:
        try:
            settings = load(config, {"home": home} if home else {})
        except SettingsError as error:
            raise Unusable(str(error)) from error
        return command(*args, settings=settings, **options)

    return with_settings


format_option = click.option(
    "--format",
    "format_",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
    help="How rows come out; JSON and CSV go to standard output alone.",
)
