"""A reader's cost is bounded, and the writer does not feel it."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from typing import TYPE_CHECKING

import psutil
import pytest
from chserver_http import request, writer
from live_files import modes_below

if TYPE_CHECKING:
    from chserver_process import ChServerProcess

MIB = 1 << 20
DEADLINE_SECONDS = 30
# Longer than a reader's two seconds, on any machine.
HEAVY = "SELECT sum(sipHash64(number)) FROM numbers(1000000000000)"


def open_files(server: ChServerProcess) -> list[str]:
    """Files that are open and have no name any more: bodies and answers."""
    folder = f"/proc/{server.pid}/fd"
    names = []
    for number in os.listdir(folder):  # noqa: PTH208 - a folder whose entries come and go
        try:
            names.append(os.readlink(f"{folder}/{number}"))  # noqa: PTH115
        except FileNotFoundError:
            continue
    return [name for name in names if "/tmp/#" in name or name.endswith("(deleted)")]


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        pytest.param(HEAVY, 159, id="time"),
        pytest.param("SELECT groupArray(number) FROM numbers(1000000000)", 241, id="memory"),
        pytest.param("SELECT number FROM numbers(100000000) FORMAT Native", 396, id="bytes of the result"),
        pytest.param(
            f"SELECT number AS {'long_name' * 20} FROM numbers(400000) FORMAT JSONEachRow",
            396,
            id="bytes of the answer",
        ),
        pytest.param(
            "SELECT toUInt8(number) AS x FROM numbers(4000000) FORMAT JSON", 396, id="a format that swells"
        ),
    ],
)
def test_a_query_that_is_too_big_is_told_so(server: ChServerProcess, sql: str, code: int) -> None:
    reply = request(server, sql)

    assert str(code) == reply.headers["x-clickhouse-exception-code"], reply.text
    assert reply.status >= 400
    assert 200 == request(server, "SELECT 1", headers=writer(server)).status


def test_readers_together_take_no_more_memory_than_they_may(server: ChServerProcess) -> None:
    shares = request(server, "SELECT getSetting('max_memory_usage')")

    # 128 MiB for two at once.
    assert f"{64 * MIB}\n" == shares.text


def test_blocks_and_what_is_made_in_one_are_small(server: ChServerProcess) -> None:
    assert "8192\n" == request(server, "SELECT max(blockSize()) FROM numbers(100000)").text
    assert "69" == request(server, "SELECT range(10000000)").headers["x-clickhouse-exception-code"]


def test_with_that_doubles_at_each_step_is_too_big(server: ChServerProcess) -> None:
    steps = "".join(f", a{n + 1} AS (SELECT x FROM a{n} UNION ALL SELECT x FROM a{n})" for n in range(20))

    reply = request(server, f"WITH a0 AS (SELECT 1 AS x){steps} SELECT count() FROM a20")

    assert "Query tree is too big" in reply.text


def test_a_large_insert_costs_little_memory(server: ChServerProcess) -> None:
    process = psutil.Process(server.pid)
    mine = writer(server)
    request(server, "CREATE TABLE audit.big (s String) ENGINE = MergeTree ORDER BY tuple()", headers=mine)
    request(server, "x\n" * 1000, headers=mine, query="INSERT INTO audit.big FORMAT TSV")
    body = (b"y" * 99 + b"\n") * 520_000
    highest, done = [process.memory_info().rss], threading.Event()

    def watch() -> None:
        while not done.wait(0.01):
            highest.append(process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    # To nowhere: what the table's own buffers take is the engine's affair.
    reply = request(server, body, headers=mine, query="INSERT INTO FUNCTION null('s String') FORMAT TSV")
    done.set()
    watcher.join()

    assert len(body) > 49 * MIB
    assert "520000" == json.loads(reply.headers["x-clickhouse-summary"])["written_rows"]
    assert max(highest) - highest[0] < 200 * MIB


def test_a_body_over_the_limit_is_refused(server: ChServerProcess) -> None:
    mine = writer(server)

    reply = request(server, bytes(81 * MIB), headers=mine, query="INSERT INTO audit.t2 FORMAT RowBinary")

    assert (413, "307") == (reply.status, reply.headers["x-clickhouse-exception-code"])


def test_a_readers_body_is_short(server: ChServerProcess) -> None:
    reply = request(server, b"SELECT '" + b"x" * (2 * MIB) + b"'")

    assert 413 == reply.status


def test_nothing_is_left_behind(server: ChServerProcess) -> None:
    mine = writer(server)
    for _ in range(20):
        request(server, "1\n", headers=mine, query="INSERT INTO audit.t2 FORMAT TSV")
        request(server, "not a number\n", headers=mine, query="INSERT INTO audit.t2 FORMAT TSV")
        request(server, "SELECT * FROM audit.t")
        request(server, "SELECT throwIf(x = 900) FROM audit.t")
        request(server, "SELECT * FROM default.secret")
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(
                b"POST /?user=auditor HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nSELECT 1"
            )

    deadline = time.monotonic() + DEADLINE_SECONDS
    while open_files(server):
        assert time.monotonic() < deadline, open_files(server)
        time.sleep(0.05)  # The server tells nobody when it lets a file go; one has to look.
    assert [] == [path.name for path in (server.home / "clickhouse" / "tmp").iterdir()]


def test_files_of_the_engine_are_the_owners_alone(server: ChServerProcess) -> None:
    data = server.home / "clickhouse"

    open_ones = [path for path, mode in modes_below(data) if mode & 0o077]

    assert [] == open_ones
    assert 0o700 == data.stat().st_mode & 0o777
