"""The standing orders of `gateledger db retain --ttl`, carried out beside the writer, on a thread of their own."""

from __future__ import annotations

import socket
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from clickhouse_connect.driver.exceptions import Error as ClickHouseError

from ledger import retention

if TYPE_CHECKING:
    from collections.abc import Callable

    import structlog
    from clickhouse_connect.driver.client import Client

# How long after its start it looks first, for the writer makes the tables; and after a look that came to nothing.
_SOON_SECONDS = 10.0


class Keeping:
    """Looks every so many seconds, first soon after its start; what fails is told once, and soon tried again.

    A ClickHouse that cannot be reached is the writer's to tell.
    """

    def __init__(
        self,
        connect: Callable[[], Client],
        stop: threading.Event,
        log: structlog.stdlib.BoundLogger,
        seconds: float,
    ) -> None:
        self._connect, self._stop, self._log, self._seconds = connect, stop, log, seconds
        self._failed = False
        self._thread = threading.Thread(target=self._run, name="keeping", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self, seconds: float) -> None:
        """Wait for the thread to notice the stop; a removal that is under way is settled at the next start."""
        self._thread.join(seconds)

    def _run(self) -> None:
        soon = min(self._seconds, _SOON_SECONDS)
        pause = soon
        while not self._stop.wait(pause):
            pause = self._seconds if self._look() else soon

    def _look(self) -> bool:
        """Carry the orders out; False when that could not be done."""
        try:
            client = self._connect()
        except (ClickHouseError, OSError):
            return False
        try:
            removed = retention.keep(client, datetime.now(UTC), f"ledger@{socket.gethostname()}")
        except (ClickHouseError, OSError) as error:
            if not self._failed:
                self._log.warning("retention.failed", error=" ".join(str(error).split())[:500])
            self._failed = True
            return False
        finally:
            client.close()
        self._failed = False
        for each in removed:
            self._log.info("retention.removed", table=each.table, partition=each.partition, rows=each.rows)
        return True
