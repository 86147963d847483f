"""`gateledger db …`: the ledger's schema on the configured ClickHouse."""

from __future__ import annotations

import getpass
import socket
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from gateledger.cli.options import common, format_option
from gateledger.cli.output import emit
from gateledger.cli.verify import verify_
from gateledger.cli.writing import writer
from ledger import migrate as schema
from ledger import retention

if TYPE_CHECKING:
    from gateledger.settings import Settings


@click.group()
def db() -> None:
    """The ledger's schema on the configured ClickHouse."""


@db.command()
@common
def migrate(settings: Settings) -> None:
    """Apply what is pending. `up` and the ledger's writer do the same when they start."""
    with writer(settings) as client:
        applied = schema.migrate(client)
    for name in applied:
        click.echo(f"applied {name}")
    if not applied:
        click.echo("nothing to apply: the schema is up to date")


@db.command()
@format_option
@common
def status(settings: Settings, format_: str) -> None:
    """Which schema files are applied. Exit code 1 unless all are, unchanged."""
    with writer(settings) as client:
        found = schema.status(client)
    emit(
        ("name", "state", "applied_at"), [(each.name, each.state, each.applied_at) for each in found], format_
    )
    if any(each.state != "applied" for each in found):
        raise SystemExit(1)


@db.command()
@click.option("--days", type=click.IntRange(1, 36500), required=True, help="Days of records to keep.")
@click.option(
    "--table",
    "tables",
    type=click.Choice(sorted(retention.TABLES)),
    multiple=True,
    help="Only of this table; may be given again. Default: all of them.",
)
@click.option(
    "--ttl/--no-ttl",
    default=None,
    help="Also make it a standing order: the ledger's writer drops what gets older, each partition booked. "
    "--no-ttl takes the order back.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@format_option
@common
def retain(
    settings: Settings, *, days: int, tables: tuple[str, ...], ttl: bool | None, dry_run: bool, format_: str
) -> None:
    """Remove records that are older than so many days: whole partitions (days; months of counters), each booked.

    audit.removals says what was removed, when, and by whom; `gateledger audit gaps` knows it from there. Policies,
    batches and the bookings stay.
    """
    wanted, run_by = tables or tuple(retention.TABLES), f"{getpass.getuser()}@{socket.gethostname()}"
    with writer(settings) as client:
        schema.migrate(client)
        found = retention.due(client, wanted, days, datetime.now(UTC))
        if not dry_run:
            retention.settle(client, run_by)
            for each in found:
                retention.remove(client, each, days, run_by)
            for table in wanted if ttl is not None else ():
                retention.order(client, table, days if ttl else 0, run_by)
    rows = [(each.table, each.partition, each.rows, each.first, each.last) for each in found]
    emit(("table", "partition", "rows", "first", "last"), rows, format_)
    count = sum(each.rows for each in found)
    click.echo(f"{count} rows {'would be' if dry_run else 'were'} removed", err=True)


db.add_command(verify_)
