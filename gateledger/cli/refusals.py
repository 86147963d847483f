"""What the audit package refuses, in the command line's one form."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

from audit.errors import AuditError
from gateledger.cli.cell import printable
from gateledger.cli.options import Unusable

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Turn what the audit package refuses into the command line's one form, safe for a terminal."""
    # The driver logs what it also raises; without a handler that would land on standard error.
    logging.getLogger("clickhouse_connect").addHandler(logging.NullHandler())
    try:
        yield
    except AuditError as error:
        raise Unusable(printable(str(error))) from error
