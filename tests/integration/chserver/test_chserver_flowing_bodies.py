"""Long bodies that the engine reads while they still come: every byte or nothing, whoever goes away and when."""

from __future__ import annotations

import fcntl
import hashlib
import os
import random
import socket
import struct
import time
from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from chserver_http import request, writer
from chserver_process import ChServerProcess
from protobuf_list import field, listed

if TYPE_CHECKING:
    from collections.abc import Callable

MIB = 1 << 20
DEADLINE_SECONDS = 30
INTO = "INSERT INTO audit.flowed FORMAT ProtobufList"
CREATE = "CREATE OR REPLACE TABLE audit.flowed (s String) ENGINE = MergeTree ORDER BY tuple()"
SCHEMA = 'syntax = "proto3"; message Envelope { message Row { bytes s = 1; } repeated Row row = 1; }'
SETTINGS = {
    "format_schema_source": "string",
    "format_schema": SCHEMA,
    "format_schema_message_name": "Row",
}
ALLOWS_ERRORS = {"input_format_allow_errors_num": 10**6, "input_format_allow_errors_ratio": 1}
# Of one row; of the list's own length; as many rows as make nine MiB: more than the pipe and the sockets hold.
ROW_BYTES, PREFIX_BYTES, ROWS = 65536, 4, 145
LANES = 4


@pytest.fixture(autouse=True)
def flowed(server: ChServerProcess) -> None:
    assert 200 == request(server, CREATE, headers=writer(server)).status


def some(rows: int, seed: int = 1, size: int = ROW_BYTES) -> list[bytes]:
    source = random.Random(seed)
    return [source.randbytes(size) for _ in range(rows)]


def stored(server: ChServerProcess) -> list[str]:
    return sorted(request(server, "SELECT lower(hex(SHA256(s))) FROM audit.flowed").text.split())


def digests(*rows: bytes) -> list[str]:
    return sorted(hashlib.sha256(row).hexdigest() for row in rows)


def head(server: ChServerProcess, size: int, into: str = INTO, *headers: str, **settings: Any) -> bytes:
    """An INSERT on the wire up to its body."""
    names = {**writer(server), "Host": "localhost", "Content-Length": str(size)}
    lines = [f"{name}: {text}" for name, text in names.items()]
    url = urlencode({"query": into, **SETTINGS, **settings})
    return "\r\n".join([f"POST /?{url} HTTP/1.1", *lines, *headers, "", ""]).encode()


def connected(server: ChServerProcess) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), DEADLINE_SECONDS)


def answers(connection: socket.socket, count: int) -> list[int]:
    """The status of each."""
    got = b""
    while got.count(b"HTTP/1.1 ") < count:
        more = connection.recv(65536)
        assert more, got
        got += more
    return [int(part[:3]) for part in got.split(b"HTTP/1.1 ")[1:]]


def pipes(server: ChServerProcess) -> list[int]:
    """How many ends of each pipe for a body are open: chserver has two, and the engine its own while it reads."""
    found: Counter[str] = Counter()
    for entry in Path(f"/proc/{server.pid}/fd").iterdir():
        # Gone again, or an end for which there is no other.
        with suppress(OSError):
            target = str(entry.readlink())
            if target.startswith("pipe:") and wide(entry):
                found[target] += 1
    ends = sorted(found.values())
    # One is as wide and the engine's own, for its traces.
    ends.remove(2)
    return ends


def wide(entry: Path) -> bool:
    """Whether it is a pipe for a body: those of the engine's threads have the usual size."""
    end = os.open(entry, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return fcntl.fcntl(end, fcntl.F_GETPIPE_SZ) == MIB
    finally:
        os.close(end)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)  # The server tells nobody when it opens or closes a file; one has to look.


def reads(server: ChServerProcess) -> int:
    """How many bodies the engine reads while they come."""
    return sum(ends > 2 for ends in pipes(server))


@pytest.mark.parametrize(
    "size",
    [
        pytest.param(4 * MIB - 100_000, id="into a file"),
        pytest.param(4 * MIB, id="at the threshold"),
        pytest.param(4 * MIB + 65536 + 4096, id="just above what is received first"),
        pytest.param(4 * MIB + 400_000, id="into the pipe"),
        pytest.param(17 * MIB + 4097, id="much longer than the pipe"),
    ],
)
def test_every_byte_arrives(server: ChServerProcess, size: int) -> None:
    rows = some(60)
    rows += some(1, 2, size - len(listed(rows)) - 10)

    reply = request(server, listed(rows), headers=writer(server), query=INTO, **SETTINGS)

    assert (200, size) == (reply.status, len(listed(rows)))
    assert digests(*rows) == stored(server)
    wait_for(lambda: not pipes(server))


def test_a_statement_may_stand_before_its_data(server: ChServerProcess) -> None:
    body = f"{INTO}\n".encode() + listed(some(ROWS))

    assert 200 == request(server, body, headers=writer(server), **SETTINGS).status
    assert digests(*some(ROWS)) == stored(server)


def test_a_body_that_comes_bit_by_bit_is_whole(server: ChServerProcess) -> None:
    body = listed(some(ROWS))
    with connected(server) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(head(server, len(body)))
        for start in range(0, len(body), 10_007):
            connection.sendall(body[start : start + 10_007])

        assert [200] == answers(connection, 1)
    assert digests(*some(ROWS)) == stored(server)


def test_a_client_that_asks_first_is_told_to_go_on(server: ChServerProcess) -> None:
    body = listed(some(ROWS))
    with connected(server) as connection:
        connection.sendall(head(server, len(body), INTO, "Expect: 100-continue"))
        assert [100] == answers(connection, 1)
        connection.sendall(body)

        assert [200] == answers(connection, 1)
    assert digests(*some(ROWS)) == stored(server)


def test_two_at_once_do_not_mix(server: ChServerProcess) -> None:
    bodies = [listed(some(ROWS, seed)) for seed in (1, 2)]
    with connected(server) as one, connected(server) as other:
        for connection, body in zip((one, other), bodies, strict=True):
            connection.sendall(head(server, len(body)))
        for start in range(0, len(bodies[0]), MIB // 3):
            one.sendall(bodies[0][start : start + MIB // 3])
            other.sendall(bodies[1][start : start + MIB // 3])

        assert ([200], [200]) == (answers(one, 1), answers(other, 1))
    assert digests(*some(ROWS, 1), *some(ROWS, 2)) == stored(server)


def test_what_comes_behind_is_the_next_request(server: ChServerProcess) -> None:
    bodies = [listed(some(count, count)) for count in (ROWS, ROWS + 1, 1)]
    with connected(server) as connection:
        connection.sendall(b"".join(head(server, len(body)) + body for body in bodies))

        assert [200] * 3 == answers(connection, 3)
    assert digests(*some(ROWS, ROWS), *some(ROWS + 1, ROWS + 1), *some(1, 1)) == stored(server)


@pytest.mark.parametrize(
    ("into", "settings", "spoilt", "status"),
    [
        pytest.param("INSERT INTO audit.nowhere FORMAT ProtobufList", {}, False, 404, id="no such table"),
        pytest.param(INTO, {"no_such_setting": 1}, False, 404, id="no such setting"),
        pytest.param(INTO, {"format_schema": "nonsense"}, False, 500, id="no schema"),
        pytest.param(INTO, {}, True, 500, id="the first row is none"),
    ],
)
def test_an_error_before_the_end_is_answered_and_the_next_request_stands_behind_the_body(
    server: ChServerProcess, into: str, settings: dict[str, Any], *, spoilt: bool, status: int
) -> None:
    body = bytearray(listed(some(ROWS)))
    if spoilt:
        body[PREFIX_BYTES] = 0xFF
    good = listed(some(ROWS, 2))
    with connected(server) as connection:
        connection.sendall(head(server, len(body), into, **settings) + body)
        connection.sendall(head(server, len(good)) + good)
        found = answers(connection, 2)

    assert status // 100 == found[0] // 100
    assert 200 == found[1]
    assert digests(*some(ROWS, 2)) == stored(server)
    wait_for(lambda: not pipes(server))


WHOLE = len(listed(some(ROWS)))
BOUNDARY = PREFIX_BYTES + 72 * len(field(field(bytes(ROW_BYTES))))


@pytest.mark.parametrize(
    "settings", [pytest.param({}, id="plain"), pytest.param(ALLOWS_ERRORS, id="lenient")]
)
@pytest.mark.parametrize(
    "cut",
    [
        pytest.param(0, id="before the data"),
        pytest.param(PREFIX_BYTES, id="behind the length"),
        pytest.param(MIB // 5, id="soon"),
        pytest.param(BOUNDARY, id="between two rows"),
        pytest.param(BOUNDARY + 1, id="in a row's tag"),
        pytest.param(BOUNDARY + 5000, id="in a row"),
        pytest.param(WHOLE - 1, id="one byte before the end"),
    ],
)
def test_of_a_body_that_is_cut_off_nothing_is_stored(
    server: ChServerProcess, cut: int, settings: dict[str, Any]
) -> None:
    with connected(server) as connection:
        connection.sendall(head(server, WHOLE, **settings) + listed(some(ROWS))[:cut])
        connection.shutdown(socket.SHUT_WR)
        # Its end is waited for: from then on nothing of it can be stored any more.
        while connection.recv(65536):
            pass

    wait_for(lambda: not pipes(server))
    assert [] == stored(server)


def test_a_client_that_breaks_off_leaves_nothing(server: ChServerProcess) -> None:
    with connected(server) as connection:
        connection.sendall(head(server, WHOLE) + listed(some(ROWS))[:BOUNDARY])
        wait_for(lambda: reads(server) == 1)
        # A reset in place of an end.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wait_for(lambda: not pipes(server))

    assert [] == stored(server)
    assert 200 == request(server, listed(some(1)), headers=writer(server), query=INTO, **SETTINGS).status


def test_a_client_that_goes_before_its_statement_has_its_turn_stores_nothing(server: ChServerProcess) -> None:
    body = listed(some(ROWS))
    with ExitStack() as clients:
        busy = [clients.enter_context(connected(server)) for _ in range(LANES)]
        for connection in busy:
            connection.sendall(head(server, len(body)) + body[:-1])
        wait_for(lambda: reads(server) == LANES)
        with connected(server) as waiting:
            # Less than the pipe holds: chserver has seen all of it.
            waiting.sendall(head(server, len(body)) + body[: MIB // 2])
            wait_for(lambda: len(pipes(server)) == LANES + 1)
        # The end that is written to is closed, the one for the engine stays.
        wait_for(lambda: pipes(server)[0] == 1)
        for connection in busy:
            connection.sendall(body[-1:])

        assert [[200]] * LANES == [answers(connection, 1) for connection in busy]
    wait_for(lambda: not pipes(server))
    assert digests(*some(ROWS) * LANES) == stored(server)


def test_a_stop_in_the_middle_of_a_body_comes_to_an_end_and_stores_nothing(tmp_path: Path) -> None:
    body = listed(some(ROWS))
    server = ChServerProcess(tmp_path, drain_seconds=0)
    with server:
        request(server, "CREATE DATABASE audit", headers=writer(server))
        request(server, CREATE, headers=writer(server))
        with connected(server) as connection:
            connection.sendall(head(server, len(body)) + body[:BOUNDARY])
            wait_for(lambda: reads(server) == 1)

            assert 0 == server.stop()
    # Not thrown out: the engine's thread found the end of its pipe.
    assert "still running" not in server.log.read_text(encoding="utf-8")
    with server:
        assert [] == stored(server)
