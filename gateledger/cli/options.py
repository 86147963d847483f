"""Options that every command shares, and the one form in which a command refuses."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gateledger.settings import Settings, SettingsError, load
from gateledger.stack.home import HomeError, read_ready
from service.options import config_option, home_option

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Command = TypeVar("Command", bound="Callable[..., object]")


class Unusable(click.ClickException):
    """Unusable input or set-up: exit code 2. The message says what, where, why and what to do."""

    exit_code = 2


def common(command: Command) -> Callable[..., object]:
    """Add --config and --home, and pass `settings` as they are for the stack that runs in HOME, if one does."""
    return _with_settings(command, at_running_stack)


def common_of_a_start(command: Command) -> Callable[..., object]:
    """As `common`, for the command that starts the stack: an earlier one is of no concern."""
    return _with_settings(command, lambda settings: settings)


def at_running_stack(settings: Settings) -> Settings:
    """The settings with the embedded ClickHouse where the stack that runs in HOME has it."""
    if not settings.embedded:
        return settings
    try:
        url = read_ready(settings.home)["clickhouse"]
    except (HomeError, KeyError):
        return settings
    return settings.model_copy(update={"clickhouse": settings.clickhouse.model_copy(update={"url": url})})


def _with_settings(command: Command, adapt: Callable[[Settings], Settings]) -> Callable[..., object]:
    @config_option
    @home_option
    @functools.wraps(command)
    def with_settings(*args: Any, config: Path | None, home: Path | None, **options: Any) -> object:
        try:
            settings = load(config, {"home": home} if home else {})
        except SettingsError as error:
            raise Unusable(str(error)) from error
        return command(*args, settings=adapt(settings), **options)

    return with_settings


format_option = click.option(
    "--format",
    "format_",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
    help="How rows come out; JSON and CSV go to standard output alone.",
)
