"""One chserver for each file of tests, with a table of audit and a secret elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from chserver_process import ChServerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1 << 20

SCHEMA = (
    "CREATE DATABASE audit",
    "CREATE TABLE audit.t (x UInt64, s String) ENGINE = MergeTree ORDER BY x",
    "INSERT INTO audit.t SELECT number, toString(number % 7) FROM numbers(1000)",
    "CREATE TABLE audit.t2 (x UInt64) ENGINE = MergeTree ORDER BY x",
    "CREATE TABLE default.secret (x String) ENGINE = MergeTree ORDER BY x",
    "INSERT INTO default.secret VALUES ('SECRET')",
    "CREATE VIEW audit.leak AS SELECT * FROM default.secret",
    "CREATE VIEW audit.leakfile AS SELECT * FROM file('/etc/passwd', LineAsString)",
    "CREATE FUNCTION udf AS x -> file(x)",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChServerProcess]:
    with ChServerProcess(
        tmp_path_factory.mktemp("home"),
        reader_max_seconds=2,
        reader_max_memory_bytes=128 * MIB,
        reader_max_result_bytes=4 * MIB,
        reader_concurrency=2,
        reader_waiting=2,
        max_body_bytes=80 * MIB,
    ) as process:
        client = process.writer_client()
        for statement in SCHEMA:
            client.command(statement)
        client.close()
        yield process
