"""A client with the right to write, for the commands that need one."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

from clickhouse_connect.driver.exceptions import Error as ClickHouseError

from gateledger.cli.options import Unusable
from ledger import migrate as schema
from service import clickhouse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clickhouse_connect.driver.client import Client

    from gateledger.settings import Settings


@contextlib.contextmanager
def writer(settings: Settings) -> Iterator[Client]:
    """A client with the right to write. Everything that goes wrong is Unusable."""
    at = settings.clickhouse
    # What the driver warns of is said once, below.
    logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)
    try:
        client = clickhouse.connect(at, at.writer_user, at.writer_password_file)
        try:
            yield client
        finally:
            client.close()
    except schema.MigrationError as error:
        raise Unusable(f"{at.url}: {error}") from error
    except OSError as error:
        raise Unusable(
            f"{error.filename or at.url}: {error.strerror or error}; the writer's password is in the file "
            "that clickhouse.writer_password_file names (`gateledger up` makes it for the embedded ClickHouse)"
        ) from error
    except ClickHouseError as error:
        text = " ".join(str(error).split())[:500]
        raise Unusable(
            f"{at.url}, as user {at.writer_user}: {text}; is ClickHouse up there, "
            "and are clickhouse.url and the writer's credentials right?"
        ) from error
