"""`gateledger audit …`: the named queries of audit/queries, each a command, and any read-only SQL."""

from __future__ import annotations

import contextlib
import functools
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO

import click

from audit import catalogue, run
from gateledger.cli.cell import printable
from gateledger.cli.gaps import gaps_
from gateledger.cli.options import Unusable, common, format_option
from gateledger.cli.output import emit
from gateledger.cli.refusals import refusals

if TYPE_CHECKING:
    from collections.abc import Callable

    from audit.catalogue import Parameter, Query
    from gateledger.settings import Settings

DAY = "24h"


@functools.cache
def queries() -> dict[str, Query]:
    """The catalogue, read once and only when a command of this group is used."""
    with refusals():
        return catalogue.load()


class Catalogue(click.Group):
    """A group whose commands are those that are written here, and one for each query of the catalogue."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *queries()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        written = super().get_command(ctx, cmd_name)
        query = None if written else queries().get(cmd_name)
        return command_for(query) if query else written

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            near = catalogue.near(name, queries())
            meant = f"did you mean {' or '.join(near)}? " if near else ""
            raise Unusable(
                printable(f"audit has no query {name!r}; {meant}`gateledger audit list` names them all")
            )
        return super().resolve_command(ctx, args)


@click.command("audit", cls=Catalogue)
def audit() -> None:
    """Ask the ledger: who did what, when, from where, and why it was allowed or denied.

    \b
    gateledger audit list                   all named queries
    gateledger audit denied --since 1h      one of them; each has its own --help
    gateledger audit sql "SELECT count() FROM audit.access_log"
    gateledger audit gaps                   what may be missing

    Runs as the reader's user (clickhouse.reader_user), who cannot write. Tables and CSV write control
    characters as escapes; JSON is exact. Exit code 0 with or without rows, 2 when a question cannot
    be asked or ClickHouse refuses or does not answer; gaps exits with 1 when something may be missing.
    """


audit.add_command(gaps_)


@audit.command("list")
@format_option
def list_(*, format_: str) -> None:
    """All named queries, with what each one answers."""
    columns = ("query", "description", "parameters", "controls")
    rows = [
        (
            query.name,
            query.description,
            [_usage(parameter) for parameter in query.parameters],
            list(query.controls),
        )
        for query in queries().values()
    ]
    if format_ == "table":
        emit(columns[:2], [row[:2] for row in rows], format_)
    else:
        emit(columns, rows, format_)


@audit.command("sql")
@click.argument("sql", required=False)
@click.option(
    "--file",
    "file",
    type=click.File(encoding="utf-8"),
    help="Read the query from a file; - is standard input.",
)
@click.option(
    "--param",
    "params",
    metavar="NAME=VALUE",
    multiple=True,
    help="Value of a {name:Type} in the query. since, until and limit have the usual defaults.",
)
@format_option
@common
def sql_(
    settings: Settings, sql: str | None, *, file: TextIO | None, params: tuple[str, ...], format_: str
) -> None:
    """Any read-only query: one SELECT, EXPLAIN, SHOW or DESCRIBE. Leave FORMAT out, use --format.

    \b
    gateledger audit sql "SELECT decision, count() FROM audit.access_log GROUP BY decision"
    gateledger audit sql --param who=alice --param since=7d \\
      "SELECT max(time) FROM audit.access_log
       WHERE subject = {who:String} AND time >= {since:DateTime64(9, 'UTC')}"
    """
    with refusals():
        text = _statement(sql, file)
        types = catalogue.types_in(text)
        usual = {"since": DAY, "until": "now", "limit": str(settings.audit.limit)}
        given = {name: value for name, value in usual.items() if name in types} | dict(map(_pair, params))
        with contextlib.closing(run.reader(settings.clickhouse)) as client:
            answer = run.ask_sql(client, text, given, _now())
    emit(answer.columns, answer.rows, format_)


def command_for(query: Query) -> click.Command:
    """The command that asks this query; its options are the query's parameters."""

    @common
    def ask(
        settings: Settings, *, since: str, until: str, limit: int | None, format_: str, **given: str | None
    ) -> None:
        rows = limit or settings.audit.limit
        now = _now()
        with refusals():
            window = run.window_from(since, until, now)
            chosen = {name: text for name, text in given.items() if text is not None}
            values = run.values_from(query, chosen, dict(settings.audit), now)
            with contextlib.closing(run.reader(settings.clickhouse)) as client:
                answer = run.ask(client, query, window, rows, values)
        emit(answer.columns, answer.rows, format_)
        _tell(answer, window, rows, table=format_ == "table")

    # click lists what was added last first: the query's own options lead the help page.
    for option in (format_option, *_shared(), *map(_option, reversed(query.parameters))):
        ask = option(ask)
    return click.command(query.name, help=_help(query), short_help=query.description)(ask)


def _shared() -> tuple[Callable[..., Callable[..., object]], ...]:
    """Options of every query, the last one first on the help page."""
    return (
        click.option(
            "--limit", type=click.IntRange(1, 10_000_000), help="Most rows. Default: the setting audit.limit."
        ),
        click.option(
            "--until", default="now", show_default=True, help="Before this moment, written as --since is."
        ),
        click.option(
            "--since",
            default=DAY,
            show_default=True,
            help="From this moment: so long ago (90m, 24h, 7d), a date, or an ISO time (UTC unless it says otherwise).",
        ),
    )


def _option(parameter: Parameter) -> Callable[..., Callable[..., object]]:
    default = parameter.default
    if default and default.startswith("$"):
        note = f"Default: the setting audit.{default[1:]}."
    else:
        note = f"Default: {default}." if default else ""
    return click.option(
        f"--{parameter.name.replace('_', '-')}",
        parameter.name,
        required=default is None,
        metavar=_metavar(parameter.type),
        help=f"{parameter.description} {note}".strip(),
    )


def _metavar(type_: str) -> str:
    if type_.startswith("Array"):
        return "LIST"
    return "NUMBER" if "Int" in type_ or "Float" in type_ else "TEXT"


def _usage(parameter: Parameter) -> str:
    option = f"--{parameter.name.replace('_', '-')}"
    return option if parameter.default is None else f"{option} {parameter.default}".strip()


def _help(query: Query) -> str:
    parts = [query.description, *query.questions]
    if query.controls:
        parts.append("\b\nSpeaks to:\n" + "\n".join(f"  {control}" for control in query.controls))
    parts.extend(query.notes)
    if query.examples:
        parts.append("\b\nExample:\n" + "\n".join(f"  {example}" for example in query.examples))
    return "\n\n".join(parts)


def _statement(sql: str | None, file: TextIO | None) -> str:
    if (sql is None) == (file is None):
        raise Unusable('give one query: gateledger audit sql "SELECT …", or --file FILE')
    try:
        text = file.read() if file else sql or ""
    except UnicodeDecodeError as error:
        raise Unusable(f"{file.name if file else ''}: is not UTF-8: {error}") from error
    if not text.strip():
        raise Unusable('the query is empty; give one, e.g. "SELECT count() FROM audit.access_log"')
    return text


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise Unusable(printable(f"--param {text}: write NAME=VALUE"))
    return name, value


def _tell(answer: run.Answer, window: run.Window, limit: int, *, table: bool) -> None:
    """On standard error, what the rows do not say: how many, of when, and whether there are more."""
    if table:
        span = f"{window.since:%Y-%m-%d %H:%M:%S}Z to {window.until:%Y-%m-%d %H:%M:%S}Z"
        click.echo(f"{len(answer.rows)} row{'' if len(answer.rows) == 1 else 's'}, {span}", err=True)
    if answer.cut:
        click.echo(
            f"There are more than {limit} rows: narrow --since and --until, or raise --limit.", err=True
        )


def _now() -> datetime:
    return datetime.now(UTC)
