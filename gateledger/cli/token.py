"""`gateledger token`: a token of the demo issuer."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import click

from gateledger.cli.options import Unusable, common
from gateledger.demo.issuer import DemoIssuer, IssuerError

if TYPE_CHECKING:
    from gateledger.settings import Settings

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@click.command("token")
@click.argument("subject")
@click.option(
    "--role", "roles", multiple=True, metavar="R", help='Role that the token asserts, without "role:".'
)
@click.option("--ttl", default="1h", show_default=True, help="How long it is valid: 30s, 15m, 1h, 7d.")
@common
def token(settings: Settings, *, subject: str, roles: tuple[str, ...], ttl: str) -> None:
    """Print a token for SUBJECT, signed by the demo issuer (`up --demo` only).

    \b
    Example:
      curl -H "Authorization: Bearer $(gateledger token carol --role finance)" \\
           http://127.0.0.1:10000/billing/invoices
    """
    issuer = DemoIssuer(settings.home / "demo")
    try:
        click.echo(issuer.token(subject, roles, time.time(), _seconds(ttl)))
    except IssuerError as error:
        raise Unusable(str(error)) from error


def _seconds(text: str) -> int:
    found = re.fullmatch(r"(\d+)([smhd])", text)
    if not found:
        raise Unusable(f"--ttl {text!r}: is no duration; write a number and s, m, h or d, such as 15m")
    return int(found[1]) * _UNITS[found[2]]
