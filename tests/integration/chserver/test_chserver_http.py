"""ClickHouse's HTTP interface, seen without a client library."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import zlib
from typing import TYPE_CHECKING

import lz4.frame
import pytest
import zstandard
from chserver_http import READER, request, writer

if TYPE_CHECKING:
    from chserver_process import ChServerProcess


def test_ping_is_answered_without_a_user(server: ChServerProcess) -> None:
    reply = request(server, path="/ping", method="GET", headers={})

    assert (200, "Ok.\n") == (reply.status, reply.text)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_query_in_the_url(server: ChServerProcess, method: str) -> None:
    reply = request(server, method=method, query="SELECT 1 AS a, 'ü' AS b")

    assert (200, "1\tü\n") == (reply.status, reply.text)


def test_what_an_answer_says_of_itself(server: ChServerProcess) -> None:
    reply = request(server, "SELECT * FROM numbers(10)", default_format="JSON", query_id="my-query")

    summary = json.loads(reply.headers["x-clickhouse-summary"])
    assert ("10", "10", "0", str(len(reply.body))) == (
        summary["read_rows"],
        summary["result_rows"],
        summary["written_rows"],
        summary["result_bytes"],
    )
    assert int(summary["elapsed_ns"]) > 0
    assert "JSON" == reply.headers["x-clickhouse-format"]
    assert "my-query" == reply.headers["x-clickhouse-query-id"]
    assert {"x-clickhouse-timezone", "x-clickhouse-server-display-name"} <= reply.headers.keys()
    assert "application/json; charset=UTF-8" == reply.headers["content-type"]


def test_rows_that_a_view_stores_are_counted_as_clickhouse_counts_them(server: ChServerProcess) -> None:
    mine = writer(server)
    request(server, "CREATE TABLE audit.src (x UInt64) ENGINE = Null", headers=mine)
    request(server, "CREATE TABLE audit.dst (x UInt64) ENGINE = MergeTree ORDER BY x", headers=mine)
    request(server, "CREATE MATERIALIZED VIEW audit.mv TO audit.dst AS SELECT x FROM audit.src", headers=mine)

    reply = request(server, "1\n2\n3\n", headers=mine, query="INSERT INTO audit.src FORMAT TSV")

    assert "6" == json.loads(reply.headers["x-clickhouse-summary"])["written_rows"]
    assert "x-clickhouse-format" not in reply.headers


@pytest.mark.parametrize(
    ("statement", "status", "code"),
    [
        pytest.param("SELECT * FROM audit.nope", 404, "60", id="unknown table"),
        pytest.param("SELEC", 400, "62", id="syntax"),
        pytest.param("SELECT 1; SELECT 2", 400, "62", id="two statements"),
        pytest.param("", 400, "62", id="nothing"),
        pytest.param("SELECT * FROM nowhere.t", 404, "81", id="unknown database"),
        pytest.param("SELECT throwIf(1)", 500, "395", id="thrown"),
        pytest.param("SELECT 1 INTO OUTFILE '/tmp/x'", 403, "358", id="outfile"),
        pytest.param(
            "INSERT INTO audit.t2 SELECT x FROM input('x UInt64') FORMAT TSV\n1\n",
            501,
            "48",
            id="input, which stores nothing",
        ),
        pytest.param("INSERT INTO audit.t FROM INFILE '/etc/passwd' FORMAT CSV", 501, "48", id="infile"),
    ],
)
def test_errors_have_clickhouses_form_code_and_status(
    server: ChServerProcess, statement: str, status: int, code: str
) -> None:
    reply = request(server, statement, headers=writer(server))

    assert (status, code) == (reply.status, reply.headers["x-clickhouse-exception-code"])
    assert reply.text.startswith(f"Code: {code}. DB::Exception: ")
    assert "formatQuery" not in reply.text
    assert "parseQuery" not in reply.text


@pytest.mark.parametrize(
    ("params", "status", "code"),
    [
        pytest.param({"no_such_setting": "1"}, 400, "115", id="unknown setting"),
        pytest.param({"max_threads": "many"}, 400, "27", id="odd value"),
        pytest.param({"compress": "1"}, 501, "48", id="native blocks"),
        pytest.param({"session_check": "1"}, 404, "372", id="session"),
        pytest.param({"a b": "1"}, 400, "115", id="a name that is none"),
    ],
)
def test_odd_parameters_are_errors(
    server: ChServerProcess, params: dict[str, str], status: int, code: str
) -> None:
    reply = request(server, "SELECT 1", headers=writer(server), **params)

    assert (status, code) == (reply.status, reply.headers["x-clickhouse-exception-code"])


@pytest.mark.parametrize(
    ("query_id", "statement", "code"),
    [
        pytest.param("x%0d%0aSet-Cookie:%20a=b", "SELECT 1", "36", id="a query's id of two lines"),
        pytest.param("%C4%80", "SELECT 1", "36", id="a query's id beyond Latin"),
        pytest.param("%FF", "SELECT 1", "36", id="a query's id that is no UTF-8"),
        pytest.param("q", f"SELECT {'[' * 900}{']' * 900}", "167", id="arrays in each other"),
        pytest.param("q", f"SELECT {'(' * 5000}1{')' * 5000}", "306", id="brackets in each other"),
        pytest.param("q", f"SELECT {'+'.join(['1'] * 3000)}", "167", id="a long sum"),
    ],
)
@pytest.mark.parametrize("role", ["reader", "writer"])
def test_odd_requests_are_refused_in_clickhouses_form(
    server: ChServerProcess, role: str, query_id: str, statement: str, code: str
) -> None:
    headers = READER if role == "reader" else writer(server)

    reply = request(server, statement, headers=headers, path=f"/?query_id={query_id}")

    assert code == reply.headers["x-clickhouse-exception-code"], reply.text
    assert 400 == reply.status
    assert reply.text.startswith(f"Code: {code}. DB::Exception: ")
    assert "set-cookie" not in reply.headers


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("SELEC", id="no such word"),
        pytest.param("SELECT 'abc", id="an open quote"),
        pytest.param("SELECT (1", id="an open bracket"),
        pytest.param("DESCRIBE (SELECT", id="to be described"),
        pytest.param("SELECT 1; SELECT 2", id="two statements"),
        pytest.param(f"SELECT {' ' * 300_000}1", id="too long"),
        pytest.param(f"SELECT {'(' * 5000}1{')' * 5000}", id="too deep"),
    ],
)
def test_an_error_tells_of_the_statement_and_of_nothing_that_was_made_of_it(
    server: ChServerProcess, statement: str
) -> None:
    reply = request(server, statement)

    assert 400 == reply.status
    assert "JSON" not in reply.text
    assert "In scope" not in reply.text


def test_a_long_statement_may_have_a_much_longer_tree(server: ChServerProcess) -> None:
    reply = request(server, f"SELECT count() FROM audit.t WHERE {' OR '.join(f'x={n}' for n in range(2500))}")

    assert "1000\n" == reply.text


def test_what_is_nested_too_deep_is_not_described(server: ChServerProcess) -> None:
    reply = request(server, f"DESCRIBE (SELECT {'[' * 900}{']' * 900})")

    assert (400, "167") == (reply.status, reply.headers["x-clickhouse-exception-code"])


def test_get_only_reads(server: ChServerProcess) -> None:
    mine = writer(server)

    for statement in (
        "INSERT INTO audit.t2 VALUES (1)",
        "DROP TABLE audit.t",
        "CREATE TABLE audit.z (x Int8) ENGINE = Null",
    ):
        reply = request(server, method="GET", headers=mine, query=statement)
        assert (403, "164") == (reply.status, reply.headers["x-clickhouse-exception-code"])
    assert "1000\n" == request(server, method="GET", headers=mine, query="SELECT count() FROM audit.t").text


def test_users_in_every_place_that_clickhouse_knows(server: ChServerProcess) -> None:
    by_url = {"user": "gateledger", "password": server.password}

    assert 200 == request(server, "SELECT 1", headers={}, **by_url).status
    assert 200 == request(server, "SELECT 1", headers={}, user="auditor").status
    for headers in ({}, {"X-ClickHouse-User": "default"}, {**writer(server), "X-ClickHouse-Key": "x"}):
        reply = request(server, "SELECT 1", headers=headers)
        assert (403, "516") == (reply.status, reply.headers["x-clickhouse-exception-code"])


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Host": "evil.example"}, id="host"),
        pytest.param({"Origin": "http://evil.example"}, id="origin"),
        pytest.param({"Origin": "http://[::1"}, id="an origin that is no address"),
        pytest.param({"Sec-Fetch-Site": "cross-site"}, id="cross site"),
    ],
)
def test_foreign_pages_get_nothing(server: ChServerProcess, headers: dict[str, str]) -> None:
    reply = request(server, "SELECT 1", headers={**READER, **headers})

    assert (403, "497") == (reply.status, reply.headers["x-clickhouse-exception-code"])


def test_no_answer_opens_itself_to_other_pages(server: ChServerProcess) -> None:
    reply = request(server, "SELECT 1", headers={**READER, "Origin": "http://localhost:3000"})

    assert 200 == reply.status
    assert [] == [name for name in reply.headers if name.startswith("access-control-")]
    assert "nosniff" == reply.headers["x-content-type-options"]


UNPACK = {
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
    "lz4": lz4.frame.decompress,
    "zstd": lambda body: zstandard.ZstdDecompressor().decompressobj().decompress(body),
}
PACK = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "lz4": lz4.frame.compress,
    "zstd": zstandard.compress,
}


@pytest.mark.parametrize("encoding", UNPACK)
def test_answers_are_packed_when_asked_for(server: ChServerProcess, encoding: str) -> None:
    headers = {**READER, "Accept-Encoding": encoding}

    packed = request(server, "SELECT * FROM numbers(100000)", headers=headers, enable_http_compression=1)
    plain = request(server, "SELECT * FROM numbers(100000)", headers=headers)

    assert (encoding, None) == (packed.headers["content-encoding"], plain.headers.get("content-encoding"))
    assert len(packed.body) < len(plain.body)
    assert plain.body == UNPACK[encoding](packed.body)


@pytest.mark.parametrize("encoding", PACK)
def test_bodies_may_be_packed(server: ChServerProcess, encoding: str) -> None:
    headers = {**READER, "Content-Encoding": encoding}

    reply = request(server, PACK[encoding](b"SELECT 1"), headers=headers)
    broken = request(server, PACK[encoding](b"SELECT 1")[:-4], headers=headers)

    assert (200, "1\n") == (reply.status, reply.text)
    assert (400, "271") == (broken.status, broken.headers["x-clickhouse-exception-code"])


def test_one_connection_serves_many_requests_errors_among_them(server: ChServerProcess) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.connect()
    first = connection.sock
    found = []
    for body in ("SELECT 1", "SELEC", "SELECT * FROM default.secret", "SELECT 2"):
        connection.request("POST", "/", body=body, headers=dict(READER))
        answer = connection.getresponse()
        answer.read()
        found.append(answer.status)

    assert [200, 400, 403, 200] == found
    assert first is connection.sock
    connection.close()


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"nonsense\r\n\r\n", id="no http"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\nSELECT", id="cut off"),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", id="odd chunk"
        ),
    ],
)
def test_broken_requests_leave_the_server_well(server: ChServerProcess, raw: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):
            pass

    assert 200 == request(server, "SELECT 1").status


def test_other_paths_and_methods(server: ChServerProcess) -> None:
    assert 404 == request(server, path="/play").status
    assert 405 == request(server, "SELECT 1", method="PUT").status
    assert (200, b"") == ((head := request(server, method="HEAD", query="SELECT 1")).status, head.body)


def test_results_keep_totals_headers_and_footers(server: ChServerProcess) -> None:
    sql = "SELECT number % 2 AS k, count() AS c FROM numbers(5) GROUP BY k WITH TOTALS ORDER BY k"

    assert "0\t3\n1\t2\n\n0\t5\n" == request(server, sql).text
    assert 5 == int(json.loads(request(server, f"{sql} FORMAT JSON").text)["totals"]["c"])
    assert '"k","c"\n' == request(server, "SELECT 1 AS k, 2 AS c WHERE 0 FORMAT CSVWithNames").text
    assert b"PAR1" == request(server, "SELECT 1 AS x FORMAT Parquet").body[-4:]


def test_one_requests_settings_are_not_the_nexts(server: ChServerProcess) -> None:
    mine = writer(server)
    request(server, "SET max_threads = 1", headers=mine)
    request(server, "SELECT 1", headers=mine, max_threads=1)
    request(server, "USE audit", headers=mine)

    reply = request(server, "SELECT getSetting('max_threads') != 1, currentDatabase()", headers=mine)

    assert "1\tdefault\n" == reply.text
