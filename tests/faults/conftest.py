"""What the fault tests share: one ClickHouse for those that do not kill it, and how long the long ones run."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from chserver_process import ChServerProcess
from clickhouse_connect.driver.client import Client
from set_checker import SetChecker

from ledger.migrate import migrate

_NUMBERS = itertools.count()


@pytest.fixture
def cycles() -> int:
    """How often the long tests do what they do: `make faults` sets hundreds."""
    return int(os.environ.get("GATELEDGER_FAULT_CYCLES", "6"))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChServerProcess]:
    with ChServerProcess(tmp_path_factory.mktemp("clickhouse")) as running:
        migrate(running.writer_client())
        yield running


@pytest.fixture
def client(server: ChServerProcess) -> Iterator[Client]:
    made = server.writer_client()
    yield made
    made.close()


@pytest.fixture
def checker(tmp_path: Path) -> SetChecker:
    return SetChecker(f"node-{next(_NUMBERS)}-{time.time_ns()}")
