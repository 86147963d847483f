"""A real chserver with the ledger's schema, for all tests here; each test has a node name of its own."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chserver_process import ChServerProcess
from clickhouse_connect.driver.client import Client
from ledger_entries import batch_of, select

from ledger import insert
from ledger.migrate import migrate
from ledger.plan import Load
from ledger.store import Store

NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChServerProcess]:
    with ChServerProcess(tmp_path_factory.mktemp("clickhouse")) as running:
        client = running.writer_client()
        migrate(client)
        client.close()
        yield running


@pytest.fixture
def client(server: ChServerProcess) -> Iterator[Client]:
    client = server.writer_client()
    yield client
    client.close()


@pytest.fixture
def store(client: Client, tmp_path: Path) -> Store:
    return Store(client, tmp_path / "quarantine")


@pytest.fixture
def node() -> str:
    """A node that no other test has: a test finds its rows by it."""
    return f"node-{next(NUMBERS)}-{time.time_ns()}"


@pytest.fixture
def rows_of(client: Client) -> Callable[..., list[dict[str, Any]]]:
    """Insert entries as one batch, and give the rows that came out of them, in order."""

    def rows_of(*entries: Any) -> list[dict[str, Any]]:
        batch = batch_of(*entries)
        insert.insert(client, Load((batch,)), batch.id)
        return select(
            client,
            "SELECT * EXCEPT own_stream_id, stream_id, is_end FROM audit.access_log "
            f"WHERE batch = '{batch.id}' ORDER BY batch_row",
        )

    return rows_of
