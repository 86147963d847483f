"""A real chserver with the ledger's schema, a writer that plants rows, and a reader that asks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from chserver_process import ChServerProcess

from audit import catalogue, run
from audit.value import Value
from ledger.migrate import migrate

# A Friday, 12:00 UTC. Every test asks about the day before it.
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = run.Window(NOON - timedelta(days=1), NOON)


def at(text: str) -> datetime:
    """A moment of that November: "20 09:30" or "20 09:30:01.5"."""
    form = "%Y-%m-%d %H:%M:%S.%f" if "." in text else "%Y-%m-%d %H:%M"
    return datetime.strptime(f"2026-11-{text}", form).replace(tzinfo=UTC)


def some(rows: Sequence[dict[str, Any]], *columns: str) -> list[tuple[Any, ...]]:
    """Of each row only these columns."""
    return [tuple(row[column] for column in columns) for row in rows]


class Ledger:
    """What a test plants and asks. The writer plants; every question is asked as the auditor."""

    def __init__(self, server: ChServerProcess) -> None:
        self.server = server
        self.writer = server.writer_client()
        self.reader = server.reader_client()
        self._planted = 0

    def clear(self) -> None:
        for table in ("access_log", "policies"):
            self.writer.command(f"TRUNCATE TABLE audit.{table}")
        self._planted = 0

    def plant(self, time: str, subject: str = "alice", decision: str = "allow", **columns: Any) -> None:
        """One row of audit.access_log; what is left out is what an allowed GET of alice's looks like."""
        self._planted += 1
        moment = at(time)
        row = {
            "time": moment,
            "received_at": moment + timedelta(seconds=1),
            "subject": subject,
            "decision": decision,
            "decision_id": f"d{self._planted}",
            "request_id": f"r{self._planted}",
            "service": "orders",
            "url_path": "/orders/1",
            "action": "GET",
            "http_request_method": "GET",
            "auth_method": "jwt",
            "client_address": "::ffff:10.0.0.1",
            "http_response_status_code": 200,
            "entry_type": "DownstreamEnd",
            "batch": f"b{self._planted}",
            **columns,
        }
        self.writer.insert("audit.access_log", [list(row.values())], column_names=list(row))

    def plant_all(self, select: str) -> None:
        """Many rows at once: INSERT INTO audit.access_log and this."""
        self.writer.command(f"INSERT INTO audit.access_log {select}")

    def values(self, query: catalogue.Query, given: dict[str, str]) -> dict[str, Value]:
        return run.values_from(query, given, {"timezone": "UTC"}, NOON)

    def ask(
        self, name: str, *, limit: int = 100, window: run.Window = DAY, **given: str
    ) -> list[dict[str, Any]]:
        """The rows of a named query as objects."""
        query = catalogue.load()[name]
        answer = run.ask(self.reader, query, window, limit, self.values(query, given))
        return [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """The ledger that all tests share, for a server takes a second to start."""
    with ChServerProcess(tmp_path_factory.mktemp("audit")) as server:
        found = Ledger(server)
        migrate(found.writer)
        yield found


@pytest.fixture
def ledger(filled: Ledger) -> Ledger:
    """An empty ledger."""
    filled.clear()
    return filled
