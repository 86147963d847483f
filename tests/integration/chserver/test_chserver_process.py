"""Starting, stopping, and what cannot start."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import pytest
from chserver_http import request, writer
from chserver_process import ROOT, ChServerProcess

SLOW = "SELECT sum(sipHash64(number)) FROM numbers({})"


def run(
    home: Path, *options: str, password: str | None = "secret", **settings: Any
) -> subprocess.CompletedProcess[str]:
    """`python -m chserver` to its end."""
    secret = home / "secrets" / "clickhouse-writer"
    secret.parent.mkdir(parents=True, exist_ok=True)
    if password is not None:
        secret.write_text(password, encoding="utf-8")
    config = home / "settings.json"
    config.write_text(json.dumps({"chserver": {"listen": "127.0.0.1:0", **settings}}), encoding="utf-8")
    command = [sys.executable, "-m", "chserver", "--config", str(config), "--home", str(home), *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def processes(server: ChServerProcess) -> str:
    sql = "SELECT count() FROM system.processes WHERE query LIKE '%sipHash64(number)%'"
    return request(server, f"{sql} AND query NOT LIKE '%processes%'", headers=writer(server)).text


def wait_until_a_query_runs(server: ChServerProcess, count: int = 1) -> None:
    deadline = time.monotonic() + 30
    while processes(server) != f"{count}\n":
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_data_outlive_the_process(tmp_path: Path) -> None:
    server = ChServerProcess(tmp_path)
    with server:
        server.writer_client().command(
            "CREATE TABLE default.t ENGINE = MergeTree ORDER BY x AS SELECT 7 AS x"
        )
    with server:
        assert 7 == server.writer_client().query("SELECT x FROM default.t").first_row[0]


def test_a_crash_is_survived(tmp_path: Path) -> None:
    server = ChServerProcess(tmp_path)
    server.start()
    server.writer_client().command("CREATE TABLE default.t ENGINE = MergeTree ORDER BY x AS SELECT 7 AS x")
    server.kill()
    with server:
        assert 7 == server.writer_client().query("SELECT x FROM default.t").first_row[0]


def test_merges_run_only_when_a_processor_would_be_idle_and_what_they_write_is_small(tmp_path: Path) -> None:
    with ChServerProcess(tmp_path) as server:
        client = server.writer_client()
        client.command("CREATE TABLE default.t (x UInt64, s String) ENGINE = MergeTree ORDER BY x")
        for _ in range(2):
            client.command("INSERT INTO default.t SELECT number, 'a' FROM numbers(1000)")
        codecs = "SELECT DISTINCT default_compression_codec FROM system.parts WHERE table = 't' AND active"
        inserted = client.query(codecs).first_row[0]
        client.command("OPTIMIZE TABLE default.t FINAL")
        merged = client.query(codecs).first_row[0]
        deadline = time.monotonic() + 30
        while not (policies := policies_of_merges(server.pid)) or policies != {os.SCHED_IDLE}:
            assert time.monotonic() < deadline, policies
            time.sleep(0.05)  # chserver tells nobody when it has found a thread of merges; one has to look.

    assert ("LZ4", "ZSTD(1)") == (inserted, merged)


def policies_of_merges(pid: int) -> set[int]:
    """How the kernel schedules the threads that merge."""
    found = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            if (task / "comm").read_text(encoding="utf-8").strip() == "MergeMutate":
                found.add(os.sched_getscheduler(int(task.name)))
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_well(tmp_path: Path, number: signal.Signals) -> None:
    server = ChServerProcess(tmp_path)
    server.start()
    server._process.send_signal(number)

    assert 0 == server._process.wait(30)
    assert "Traceback" not in server.log.read_text()


def test_running_queries_are_finished_before_the_end(tmp_path: Path) -> None:
    server = ChServerProcess(tmp_path, drain_seconds=30)
    server.start()
    with ThreadPoolExecutor() as pool:
        job = pool.submit(request, server, SLOW.format(300_000_000), headers=writer(server))
        wait_until_a_query_runs(server)

        assert 0 == server.stop()
        assert 200 == job.result().status


def test_a_query_that_outlasts_the_drain_does_not_hold_the_stop(tmp_path: Path) -> None:
    server = ChServerProcess(tmp_path, drain_seconds=0, reader_max_seconds=600)
    server.start()
    with ThreadPoolExecutor() as pool:
        job = pool.submit(request, server, SLOW.format(10**13), headers={"X-ClickHouse-User": "auditor"})
        wait_until_a_query_runs(server)

        assert 0 == server.stop()
        assert job.exception() is not None or job.result().status >= 500


def test_a_readers_query_ends_with_its_client_and_a_writers_does_not(tmp_path: Path) -> None:
    # Far beyond the test's own deadline: only the client's going away can end the query in time.
    with ChServerProcess(tmp_path, drain_seconds=0, reader_max_seconds=600) as server:
        body = SLOW.format(10**13).encode()
        head = b"POST /?user=auditor HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(head + body)
            wait_until_a_query_runs(server)
        wait_until_a_query_runs(server, 0)

        request(
            server, "CREATE TABLE default.t (x UInt64) ENGINE = MergeTree ORDER BY x", headers=writer(server)
        )
        slow = b"INSERT INTO default.t SELECT sum(sipHash64(number)) FROM numbers(100000000)"
        head = b"POST /?user=gateledger&password=%b HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(head % (server.password.encode(), len(slow)) + slow)
            wait_until_a_query_runs(server)
        wait_until_a_query_runs(server, 0)

        assert "1\n" == request(server, "SELECT count() FROM default.t", headers=writer(server)).text


def test_the_writer_goes_on_while_readers_fill_their_lane_and_more_are_turned_away(tmp_path: Path) -> None:
    limits = {"reader_concurrency": 2, "reader_waiting": 2, "reader_max_seconds": 600, "drain_seconds": 0}
    with ChServerProcess(tmp_path, **limits) as server, ThreadPoolExecutor(10) as pool:
        create = "CREATE TABLE default.t (x UInt64) ENGINE = MergeTree ORDER BY x"
        request(server, create, headers=writer(server))
        # One thread and small blocks: it lasts, and leaves the machine to the others.
        body = f"{SLOW.format(10**13)} SETTINGS max_threads = 1, max_block_size = 1000".encode()
        head = b"POST /?user=auditor HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
        with contextlib.ExitStack() as readers:
            for _ in range(2):
                connection = readers.enter_context(socket.create_connection(("127.0.0.1", server.port)))
                connection.sendall(head + body)
            wait_until_a_query_runs(server, 2)
            # Longer than the test itself may take: two of them wait until the readers' clients are gone.
            jobs = [pool.submit(request, server, "SELECT 42", timeout=180) for _ in range(10)]
            refused = [job.result() for _, job in zip(range(8), as_completed(jobs), strict=False)]

            assert {"202"} == {reply.headers["x-clickhouse-exception-code"] for reply in refused}
            assert {503} == {reply.status for reply in refused}
            insert = request(server, "1\n", headers=writer(server), query="INSERT INTO default.t FORMAT TSV")
            assert (200, True) == (insert.status, server.answers())
            assert "2\n" == processes(server)
        # Their clients are gone, so those that waited have their turn.
        answers = [job.result().text for job in jobs]

    assert 2 == answers.count("42\n")


def test_a_second_one_on_the_same_data_is_refused(tmp_path: Path) -> None:
    with ChServerProcess(tmp_path) as server:
        second = run(tmp_path, password=None)

        assert 2 == second.returncode
        assert f"in use by another chserver (process {server.pid})" in second.stderr
        assert "Traceback" not in second.stderr
        assert server.answers()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        pytest.param({"listen": "0.0.0.0:8123"}, "not loopback", id="all addresses"),
        pytest.param({"listen": "[::]:8123"}, "not loopback", id="all addresses of six"),
        pytest.param({"listen": "192.0.2.1:8123"}, "not loopback", id="another address"),
        pytest.param({"listen": "example.org:8123"}, "not loopback", id="a name"),
        pytest.param({"listen": ":8123"}, "HOST:PORT", id="no host"),
        pytest.param({"listen": "127.0.0.1:x"}, "HOST:PORT", id="no port"),
        pytest.param({"no_such_key": 1}, "no such setting", id="unknown setting"),
        pytest.param({"reader_concurrency": "many"}, "reader_concurrency", id="wrong type"),
        pytest.param({"data": "/proc/nowhere"}, "/proc/nowhere", id="no place for data"),
        pytest.param({"data": "/tmp/a?b"}, "/tmp/a?b", id="a path that chdb cannot open"),
        pytest.param({"data": "/tmp/*"}, "/tmp/*", id="a path that is a pattern"),
        pytest.param({"writer_password_file": "/nowhere/at/all"}, "/nowhere/at/all", id="no password file"),
    ],
)
def test_what_cannot_start_says_why_and_exits_2(tmp_path: Path, settings: dict[str, Any], words: str) -> None:
    found = run(tmp_path, **settings)

    assert 2 == found.returncode, found.stderr
    assert words in found.stderr
    assert "Traceback" not in found.stderr


def test_an_empty_password_is_refused(tmp_path: Path) -> None:
    found = run(tmp_path, password=" \n")

    assert 2 == found.returncode
    assert "empty" in found.stderr


def test_a_taken_port_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        found = run(tmp_path, listen=f"127.0.0.1:{taken.getsockname()[1]}")

    assert 2 == found.returncode
    assert "another process listens there" in found.stderr


def test_check_validates_and_starts_nothing(tmp_path: Path) -> None:
    fine = run(tmp_path, "--check")
    wrong = run(tmp_path, "--check", listen="0.0.0.0:1")

    assert (0, 2) == (fine.returncode, wrong.returncode)
    assert not (tmp_path / "clickhouse").exists()


def test_a_path_with_blanks_and_quotes_is_no_trouble(tmp_path: Path) -> None:
    with ChServerProcess(tmp_path / "it's a (home), ü") as server:
        client = server.writer_client()
        client.command("CREATE TABLE default.t (x UInt8) ENGINE = MergeTree ORDER BY x")
        client.raw_insert("default.t", ["x"], b"1\n2\n", fmt="CSV")

        assert [(1,), (2,)] == client.query("SELECT x FROM default.t ORDER BY x").result_rows
