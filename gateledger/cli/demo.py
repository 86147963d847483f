"""`gateledger demo`: the tour."""

from __future__ import annotations

import asyncio
import signal
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from gateledger.cli.options import Unusable
from gateledger.cli.up import demo_settings, running
from gateledger.demo.issuer import DemoIssuer
from gateledger.demo.tour import STEPS, take
from gateledger.settings import SettingsError, load
from service.clickhouse import connect

if TYPE_CHECKING:
    from gateledger.demo.tour import Outcome
    from gateledger.settings import Settings

ROWS_WITHIN_SECONDS = 30.0

_ROWS = """
SELECT user_agent_original, decision, reason_code, subject, http_response_status_code, rule, rule_line
FROM audit.access_log
WHERE startsWith(user_agent_original, {prefix:String}) AND time > now() - INTERVAL 1 HOUR
"""


@click.command("demo")
def demo() -> None:
    """A tour of about ten seconds, in a temporary home on free ports.

    Allowed, denied, unauthenticated and hostile requests go through the real Envoy; then the
    audit rows that they left are compared with what the client saw. Exit code 0 only if all
    came out as they should.
    """
    with tempfile.TemporaryDirectory(prefix="gateledger-") as directory:
        try:
            fine = asyncio.run(_demo(_settings(Path(directory))))
        except asyncio.CancelledError as error:
            raise click.Abort from error
    if not fine:
        raise SystemExit(1)


def _settings(home: Path) -> Settings:
    anywhere = {
        "home": home,
        "envoy": {"listen": "127.0.0.1:0"},
        "chserver": {"listen": "127.0.0.1:0"},
        "extauthz": {"metrics": "127.0.0.1:0"},
        "alslog": {"metrics": "127.0.0.1:0"},
    }
    try:
        # The tour is the same for everyone: it reads no settings file and no environment.
        return demo_settings(load(Path("/dev/null"), anywhere, {}))
    except SettingsError as error:
        raise Unusable(str(error)) from error


async def _demo(settings: Settings) -> bool:
    click.echo("starting Envoy, extauthz, alslog, the ledger and ClickHouse …", err=True)
    this = asyncio.current_task()
    if this:
        # SIGINT is a KeyboardInterrupt already; a SIGTERM has to clean up just as well.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    async with running(settings, lambda sentence: click.echo(sentence, err=True), demo=True) as stack:
        issuer = DemoIssuer(settings.home / "demo")
        outcomes = await asyncio.to_thread(take, stack.settings.envoy.listen, issuer, STEPS, _seen)
        click.echo("\nreading the rows that they left …", err=True)
        rows = await asyncio.to_thread(_rows, stack.settings, outcomes)
    return _compare(outcomes, rows)


def _seen(outcome: Outcome) -> None:
    step = outcome.step
    mark = "ok" if outcome.status == step.status else f"NOT OK, expected {step.status}"
    who = step.subject or "-"
    click.echo(f"{outcome.status}  {step.method:<4} {step.path:<32} {who:<6} {step.title}  [{mark}]")


def _rows(settings: Settings, outcomes: list[Outcome]) -> dict[str, list[dict[str, Any]]]:
    """The rows by marker, as soon as there is one for each outcome; what is there when time is up."""
    client = connect(
        settings.clickhouse, settings.clickhouse.reader_user, settings.clickhouse.reader_password_file
    )
    prefix = outcomes[0].marker.rpartition("-")[0]
    deadline = time.monotonic() + ROWS_WITHIN_SECONDS
    try:
        while True:
            found: dict[str, list[dict[str, Any]]] = {}
            for row in client.query(_ROWS, parameters={"prefix": prefix}).named_results():
                found.setdefault(row["user_agent_original"], []).append(row)
            if len(found) == len(outcomes) or time.monotonic() > deadline:
                return found
            time.sleep(0.1)
    finally:
        client.close()


def _compare(outcomes: list[Outcome], rows: dict[str, list[dict[str, Any]]]) -> bool:
    table = Table("saw", "decision", "reason", "subject", "rule", "request", title="What the ledger says")
    agreed = 0
    for outcome in outcomes:
        step, found = outcome.step, rows.get(outcome.marker, [])
        row = found[0] if len(found) == 1 else {}
        agrees = (
            outcome.status == step.status == row.get("http_response_status_code")
            and step.decision == row.get("decision")
            and step.reason_code == row.get("reason_code")
        )
        agreed += agrees
        rule = f"{row.get('rule', '')} (line {row.get('rule_line')})" if row.get("rule") else ""
        cells = (str(outcome.status), row.get("decision", f"{len(found)} rows"), row.get("reason_code", ""))
        table.add_row(
            *cells, row.get("subject", ""), rule, f"{step.method} {step.path}", style="" if agrees else "red"
        )
    Console(width=None if Console().is_terminal else 160).print(table)
    click.echo(f"{agreed} of {len(outcomes)} requests have one row each that agrees with what the client saw")
    return agreed == len(outcomes)
