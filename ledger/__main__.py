"""`python -m ledger`: the writer as a process of its own; one a home."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

import click

from gateledger.settings import Settings, SettingsError, load
from ledger import lock
from ledger.keeping import Keeping
from ledger.migrate import MigrationError, migrations
from ledger.writer import Places, Writer
from service import clickhouse, logs, memory
from service.options import check_option, config_option, home_option

if TYPE_CHECKING:
    from pathlib import Path

    from clickhouse_connect.driver.client import Client

# How long a removal that is under way may hold up the end.
_END_SECONDS = 5.0
# The jobs that are in flight, of 96 MiB each (ledger/plan.py).
_KEPT_BYTES = 256 << 20


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@config_option
@home_option
@check_option
def main(config: Path | None, home: Path | None, check: bool) -> None:
    """Write what the spools hold into ClickHouse: every entry once, checked by count."""
    try:
        settings = load(config, {"home": home} if home else {})
        migrations()
        if check:
            _check(settings)
        else:
            memory.keep(_KEPT_BYTES)
            run(settings)
    except (SettingsError, lock.LockError, MigrationError, OSError) as error:
        click.echo(f"ledger: {error}", err=True)
        sys.exit(2)


def _check(settings: Settings) -> None:
    """Raise OSError when the writer's password cannot be read."""
    password = settings.clickhouse.writer_password_file
    if password and (password.exists() or not settings.embedded):
        password.read_text(encoding="utf-8")
    click.echo("ledger: the settings are fine")


def run(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT. Raises LockError, and OSError when HOME cannot be written."""
    ledger = settings.ledger
    spools = (
        settings.alslog.spool,
        settings.extauthz.journal,
        settings.extauthz.decisions,
        settings.envoy.counters,
    )
    assert ledger.quarantine, "settings are complete"  # noqa: S101 - tells mypy; load() has filled it
    assert ledger.status, "settings are complete"  # noqa: S101 - tells mypy
    log = logs.configure("ledger", settings.log.level)
    # The driver warns at every try of what the writer says once.
    logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    stop = _stop_signals()
    held = lock.acquire(settings.home / "run" / "ledger.lock")

    def connect() -> Client:
        at = settings.clickhouse
        return clickhouse.connect(at, at.writer_user, at.writer_password_file)

    keeping = Keeping(connect, stop, log, ledger.retention_seconds)
    try:
        keeping.start()
        Writer(
            Places([spool for spool in spools if spool], ledger.quarantine, ledger.status),
            connect,
            stop,
            log,
            poll_seconds=ledger.poll_seconds,
            retry_max_seconds=ledger.retry_max_seconds,
            hold_seconds=ledger.hold_seconds,
            redact=ledger.redact_names,
        ).run()
    finally:
        stop.set()
        keeping.join(_END_SECONDS)
        os.close(held)


def _stop_signals() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


if __name__ == "__main__":
    main()
