"""What the embedded ClickHouse's HTTP side costs: start, small requests, a large insert, a large answer.

    python benchmarks/bench_chserver.py

One line a figure: medians over keep-alive connections of one client.
"""

from __future__ import annotations

import http.client
import statistics
import sys
import tempfile
import time
from pathlib import Path

import psutil

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from chserver_process import ChServerProcess

MIB = 1 << 20
SMALL = 300
LARGE = 5
ROW = b"y" * 99 + b"\n"
ROWS = 520_000


def median_seconds(
    connection: http.client.HTTPConnection, path: str, body: bytes, headers: dict[str, str], count: int
) -> tuple[float, int]:
    """Seconds of one request, and the bytes of its answer."""
    seconds, size = [], 0
    for _ in range(count):
        began = time.perf_counter()
        connection.request("POST", path, body=body, headers=headers)
        answer = connection.getresponse()
        size = len(answer.read())
        seconds.append(time.perf_counter() - began)
        if answer.status != 200:
            raise RuntimeError(f"{path}: status {answer.status}")
    return statistics.median(seconds), size


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as home:
        began = time.perf_counter()
        with ChServerProcess(Path(home)) as server:
            print(f"start until /ping answers: {time.perf_counter() - began:.2f} s")
            measure(server)


def measure(server: ChServerProcess) -> None:
    """The figures of a running server."""
    process = psutil.Process(server.pid)
    writer = {"X-ClickHouse-User": "gateledger", "X-ClickHouse-Key": server.password}
    reader = {"X-ClickHouse-User": "auditor"}
    connection = http.client.HTTPConnection("127.0.0.1", server.port)

    for name, headers in (("writer", writer), ("reader", reader)):
        seconds, _ = median_seconds(connection, "/", b"SELECT 1", headers, SMALL)
        print(f"SELECT 1 as {name}: {seconds * 1000:.1f} ms")

    create = b"CREATE TABLE default.t (s String) ENGINE = MergeTree ORDER BY tuple()"
    median_seconds(connection, "/", create, writer, 1)
    insert = "/?query=INSERT+INTO+default.t+FORMAT+TSV"
    seconds, _ = median_seconds(connection, insert, ROW * 100, writer, SMALL)
    print(f"INSERT of 100 rows: {seconds * 1000:.1f} ms")
    before = process.memory_info().rss
    seconds, _ = median_seconds(connection, insert, ROW * ROWS, writer, LARGE)
    grown = max(0, process.memory_info().rss - before)
    print(f"INSERT of {len(ROW) * ROWS // MIB} MiB, {ROWS} rows: {seconds:.2f} s, memory +{grown // MIB} MiB")

    sql = b"SELECT number, toString(number) FROM numbers(10000000) FORMAT Native"
    seconds, size = median_seconds(connection, "/", sql, reader, LARGE)
    print(f"answer of {size // MIB} MiB, 10000000 rows, as reader: {seconds:.2f} s")
    connection.close()


if __name__ == "__main__":
    main()
