"""`gateledger db verify`: are the rows still what they were when they were booked?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from audit import run
from gateledger.cli.gaps import SETTLE_SECONDS, oldest_waiting
from gateledger.cli.options import Unusable, common, format_option
from gateledger.cli.output import emit
from gateledger.cli.progress import progress
from gateledger.cli.refusals import refusals
from gateledger.cli.writing import writer
from ledger import verify

if TYPE_CHECKING:
    from gateledger.settings import Settings


@click.command("verify")
@click.option(
    "--since",
    default="24h",
    show_default=True,
    help="Received from this moment: so long ago, a date, or an ISO time.",
)
@click.option("--until", default="now", show_default=True, help="Before this moment, written as --since is.")
@click.option(
    "--settle",
    type=click.FloatRange(0),
    default=SETTLE_SECONDS,
    show_default=True,
    help="Seconds that the writer has to book what it stored: what is younger is not looked at.",
)
@format_option
@common
def verify_(settings: Settings, *, since: str, until: str, settle: float, format_: str) -> None:
    """Whether the rows are still what they were when they were booked, batch by batch.

    Computes each batch's digest again and holds it, and the count of its rows, against audit.batches: rows that are
    gone, doubled, added or changed, and rows of batches that were never booked. What retention removed is not
    missing. Runs as the writer, but only reads. Whoever can write could have changed both: see docs/guarantees.md.

    \b
    Exit code 0 when all is as it was booked, 1 when something is not, 2 when it cannot be told.
    """
    now = datetime.now(UTC)
    with refusals():
        window = run.window_from(since, until, now)
    waiting = oldest_waiting(settings) or now
    settled = min(window.until, now - timedelta(seconds=settle), waiting)
    if window.since >= settled:
        raise Unusable(
            "nothing could be verified: all of that time is too young, or still waits to be stored"
        )
    with writer(settings) as client:
        try:
            tell = progress()
            found = verify.find(
                client, window.since, settled, lambda rows: tell(f"{rows} rows verified so far")
            )
        except verify.UnknownDigestError as error:
            raise Unusable(str(error)) from error
    if waiting <= settled < window.until:
        click.echo(f"what came since {waiting:%Y-%m-%d %H:%M:%S}Z still waits to be stored", err=True)
    emit(verify.COLUMNS, [each.row for each in found.findings], format_)
    click.echo(
        f"verified {found.rows} rows of {found.batches} batches, received {window.since:%Y-%m-%d %H:%M:%S}Z to "
        f"{settled:%Y-%m-%d %H:%M:%S}Z: "
        + (f"{len(found.findings)} batches are not as booked" if found.findings else "all as booked"),
        err=True,
    )
    if found.findings:
        raise SystemExit(1)
