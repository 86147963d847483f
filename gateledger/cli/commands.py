"""All commands under one name."""

from __future__ import annotations

import click

from gateledger.cli.audit import audit
from gateledger.cli.db import db
from gateledger.cli.demo import demo
from gateledger.cli.envoy import envoy
from gateledger.cli.policy import policy
from gateledger.cli.status import status
from gateledger.cli.token import token
from gateledger.cli.up import up


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="gateledger")
def cli() -> None:
    """An access proxy with an audit trail.

    Envoy is the gate, Casbin decides, ClickHouse is the ledger. Start with
    `gateledger up --demo`, or take the tour: `gateledger demo`.

    Exit codes: 0 fine, 1 the answer is no, 2 unusable input or set-up.
    """


for command in (up, demo, status, token, policy, audit, db, envoy):
    cli.add_command(command)
