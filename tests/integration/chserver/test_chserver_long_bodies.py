"""Long bodies, which the kernel moves into their files: every byte, and nothing of the next request."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import random
import socket
import time
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest
from chserver_http import request, writer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chserver_process import ChServerProcess

MIB = 1 << 20
DEADLINE_SECONDS = 30
INTO = "INSERT INTO audit.blobs FORMAT RawBLOB"


@pytest.fixture(autouse=True)
def blobs(server: ChServerProcess) -> None:
    create = "CREATE OR REPLACE TABLE audit.blobs (s String) ENGINE = MergeTree ORDER BY tuple()"

    assert 200 == request(server, create, headers=writer(server)).status


def stored(server: ChServerProcess) -> list[str]:
    return sorted(request(server, "SELECT lower(hex(SHA256(s))) FROM audit.blobs").text.split())


def digests(*bodies: bytes) -> list[str]:
    return sorted(hashlib.sha256(body).hexdigest() for body in bodies)


def some(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def raw(server: ChServerProcess, body: bytes, announced: int | None = None) -> bytes:
    """An INSERT of the body as it is on the wire."""
    names = {**writer(server), "Host": "localhost", "Content-Length": str(announced or len(body))}
    head = "".join(f"{name}: {text}\r\n" for name, text in names.items())
    return f"POST /?{urlencode({'query': INTO})} HTTP/1.1\r\n{head}\r\n".encode() + body


@pytest.mark.parametrize(
    "size",
    [
        pytest.param(MIB - 1, id="received"),
        pytest.param(MIB, id="moved"),
        pytest.param(9 * MIB + 4097, id="of many pieces"),
    ],
)
def test_every_byte_arrives(server: ChServerProcess, size: int) -> None:
    reply = request(server, some(size), headers=writer(server), query=INTO)

    assert 200 == reply.status
    assert digests(some(size)) == stored(server)


def test_a_statement_may_stand_before_its_data(server: ChServerProcess) -> None:
    reply = request(server, f"{INTO}\n".encode() + some(3 * MIB), headers=writer(server))

    assert 200 == reply.status
    assert digests(some(3 * MIB)) == stored(server)


def test_a_packed_body_is_unpacked(server: ChServerProcess) -> None:
    packed = gzip.compress(some(3 * MIB), 1)

    reply = request(server, packed, headers={**writer(server), "Content-Encoding": "gzip"}, query=INTO)

    assert 200 == reply.status
    assert digests(some(3 * MIB)) == stored(server)


def test_a_body_in_chunks_is_whole(server: ChServerProcess) -> None:
    def chunks() -> Iterator[bytes]:
        for start in range(0, 3 * MIB, MIB):
            yield some(3 * MIB)[start : start + MIB]

    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("POST", f"/?{urlencode({'query': INTO})}", body=chunks(), headers=writer(server))
    status = connection.getresponse().status
    connection.close()

    assert 200 == status
    assert digests(some(3 * MIB)) == stored(server)


def test_what_comes_behind_a_long_body_is_the_next_request(server: ChServerProcess) -> None:
    bodies = some(2 * MIB, 1), some(3 * MIB, 2), some(5, 3)
    with socket.create_connection(("127.0.0.1", server.port), DEADLINE_SECONDS) as connection:
        connection.sendall(b"".join(raw(server, body) for body in bodies))
        answers = b""
        while answers.count(b"HTTP/1.1 ") < len(bodies):
            more = connection.recv(65536)
            assert more, answers
            answers += more

    assert len(bodies) == answers.count(b"HTTP/1.1 200")
    assert digests(*bodies) == stored(server)


def test_a_body_that_comes_bit_by_bit_is_whole(server: ChServerProcess) -> None:
    body = some(2 * MIB)
    message = raw(server, body)
    with socket.create_connection(("127.0.0.1", server.port), DEADLINE_SECONDS) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(message), 10_007):
            connection.sendall(message[start : start + 10_007])
        answer = connection.recv(65536)

    assert answer.startswith(b"HTTP/1.1 200")
    assert digests(body) == stored(server)


def test_of_a_body_that_is_cut_off_nothing_is_stored(server: ChServerProcess) -> None:
    with socket.create_connection(("127.0.0.1", server.port), DEADLINE_SECONDS) as connection:
        connection.sendall(raw(server, some(3 * MIB), announced=4 * MIB))
        connection.shutdown(socket.SHUT_WR)
        # Its end is waited for: from then on nothing of it can be stored any more.
        while connection.recv(65536):
            pass

    assert [] == stored(server)
    deadline = time.monotonic() + DEADLINE_SECONDS
    left = server.home / "clickhouse" / "tmp"
    while list(left.iterdir()):
        assert time.monotonic() < deadline, list(left.iterdir())
        time.sleep(0.05)  # The server tells nobody when it lets a file go; one has to look.
