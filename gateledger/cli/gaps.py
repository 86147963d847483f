"""`gateledger audit gaps`: what may be missing from the ledger."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from audit import gaps, run
from gateledger.cli.options import common, format_option
from gateledger.cli.output import emit
from gateledger.cli.progress import progress
from gateledger.cli.refusals import refusals
from gateledger.settings import spools_of
from spool import SpoolError, usage

if TYPE_CHECKING:
    from gateledger.settings import Settings

# Records come within seconds; a comparison that does not wait for them would cry wolf.
SETTLE_SECONDS = 30.0
# Spools whose records are compared.
_COMPARED = ("entries", "decisions")


@click.command("gaps")
@click.option(
    "--since", default="24h", show_default=True, help="From this moment: so long ago, a date, or an ISO time."
)
@click.option("--until", default="now", show_default=True, help="Before this moment, written as --since is.")
@click.option(
    "--settle",
    type=click.FloatRange(0),
    default=SETTLE_SECONDS,
    show_default=True,
    help="Seconds that records have to come: what is younger is not looked at.",
)
@format_option
@common
def gaps_(settings: Settings, *, since: str, until: str, settle: float, format_: str) -> None:
    """What may be missing, per Envoy node and minute, with the likely cause.

    Holds three witnesses against one another: Envoy's own counters, extauthz's journal of decisions, and the
    records. A decision without a record, a record without a decision, and counters that disagree are a row each;
    two of them may speak of the same requests. Runs as the reader.

    \b
    Exit code 0 when nothing is missing, 1 when something may be, 2 when it cannot be told.
    """
    now = datetime.now(UTC)
    with refusals():
        window = run.window_from(since, until, now)
        waiting = oldest_waiting(settings)
        settled = min(window.until, now - timedelta(seconds=settle), waiting or now)
        with contextlib.closing(run.reader(settings.clickhouse)) as client:
            found = gaps.find(client, replace(window, until=settled), progress())
    emit(gaps.COLUMNS, [gap.row for gap in found.gaps], format_)
    _tell(found, window, waiting if waiting and waiting <= settled else None)
    if found.gaps:
        raise SystemExit(1)


def oldest_waiting(settings: Settings) -> datetime | None:
    """Since when records wait in the spools of this machine to be stored; None when none do."""
    oldest = []
    for name, directory in spools_of(settings).items():
        if name.partition("/")[0] in _COMPARED:
            with contextlib.suppress(SpoolError):
                oldest.append(usage(directory).oldest)
    times = [time for time in oldest if time]
    # An entry comes a moment after the request that it tells of.
    return datetime.fromtimestamp(min(times), UTC) - timedelta(seconds=1) if times else None


def _tell(found: gaps.Found, window: run.Window, waiting: datetime | None) -> None:
    looked = found.window
    if looked.since >= looked.until:
        click.echo(
            "nothing could be compared: all of that time is too young, still waits or was removed", err=True
        )
        return
    click.echo(
        f"compared {looked.since:%Y-%m-%d %H:%M:%S}Z to {looked.until:%Y-%m-%d %H:%M:%S}Z, "
        f"Envoys with counters: {', '.join(found.nodes) or 'none'}",
        err=True,
    )
    if looked.since > window.since:
        click.echo(f"records before {looked.since:%Y-%m-%d %H:%M:%S}Z were removed by retention", err=True)
    if waiting:
        click.echo(f"records since {waiting:%Y-%m-%d %H:%M:%S}Z still wait to be stored", err=True)
    if found.open_requests:
        click.echo(f"{found.open_requests} requests are open and not counted as missing", err=True)
    if found.gaps:
        click.echo(f"at least {found.requests_without_record} requests have no record", err=True)
    else:
        click.echo("nothing is missing", err=True)
