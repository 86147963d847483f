"""clickhouse-connect's own HTTP client, unchanged, as writer and as auditor."""

from __future__ import annotations

import datetime as dt
import io
import ipaddress
import threading
from decimal import Decimal
from typing import TYPE_CHECKING
from uuid import UUID

import clickhouse_connect
import pyarrow as pa
import pytest
from chserver_process import ROOT
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chserver_process import ChServerProcess
    from clickhouse_connect.driver.client import Client

UTC = dt.UTC


@pytest.fixture
def writer(server: ChServerProcess) -> Iterator[Client]:
    with server.writer_client() as client:
        yield client


@pytest.fixture
def reader(server: ChServerProcess) -> Iterator[Client]:
    with server.reader_client() as client:
        yield client


@pytest.fixture(params=["writer", "reader"])
def anyone(request: pytest.FixtureRequest) -> Client:
    client: Client = request.getfixturevalue(request.param)
    return client


@pytest.fixture
def table(writer: Client) -> Iterator[str]:
    writer.command("CREATE TABLE audit.mine (x UInt64, s String) ENGINE = MergeTree ORDER BY x")
    yield "audit.mine"
    writer.command("DROP TABLE audit.mine")


TYPES = {
    "t9 DateTime64(9, 'UTC')": dt.datetime(2026, 1, 2, 3, 4, 5, 678901, UTC),
    "t DateTime('UTC')": dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    "d Date": dt.date(2026, 1, 2),
    "v6 IPv6": ipaddress.IPv6Address("2001:db8::1"),
    "v4 IPv4": ipaddress.IPv4Address("10.0.0.1"),
    "e Enum8('allow' = 1, 'deny' = 2)": "deny",
    "lc LowCardinality(String)": "häufig",
    "a Array(String)": ["a'b", "", "c\n"],
    "aa Array(Array(UInt8))": [[1], [], [2, 3]],
    "n Nullable(String)": None,
    "m Map(String, UInt64)": {"a": 1, "b": 2**63},
    "tu Tuple(p String, q Int8)": {"p": "x", "q": -1},
    "u UUID": UUID("01234567-89ab-cdef-0123-456789abcdef"),
    "f Float64": 1.5,
    "dec Decimal(18, 4)": Decimal("1.2345"),
    "b Bool": True,
    "i Int128": -(2**100),
    "bin String": "\x00\x01'\\\t\n",
}


def test_every_type_of_ours_makes_the_round_trip(writer: Client, reader: Client) -> None:
    writer.command(f"CREATE OR REPLACE TABLE audit.types ({', '.join(TYPES)}) ENGINE = MergeTree ORDER BY t9")

    names = [column.split()[0] for column in TYPES]
    summary = writer.insert("audit.types", [list(TYPES.values())] * 2, column_names=names)
    rows = reader.query("SELECT * FROM audit.types", tz_mode="aware").result_rows

    assert 2 == summary.written_rows
    assert [tuple(TYPES.values())] * 2 == list(rows)


def test_rows_written_are_counted(writer: Client, table: str) -> None:
    inserted = writer.insert(table, [[n, "x"] for n in range(1234)], column_names=["x", "s"])
    selected = writer.command(f"INSERT INTO {table} SELECT number, '' FROM numbers(77)")

    assert (1234, 77) == (inserted.written_rows, selected.written_rows)
    assert 1311 == writer.query(f"SELECT count() FROM {table}").first_row[0]


def test_columns_frames_and_arrow_tables_are_inserted(writer: Client, table: str) -> None:
    writer.insert(table, [[1, 2], ["a", "b"]], column_names=["x", "s"], column_oriented=True)
    writer.insert_df(table, writer.query_df("SELECT toUInt64(3) AS x, 'c' AS s"))
    writer.insert_arrow(table, pa.table({"x": pa.array([4], pa.uint64()), "s": ["d"]}))

    assert [(1, "a"), (2, "b"), (3, "c"), (4, "d")] == writer.query(
        f"SELECT * FROM {table} ORDER BY x"
    ).result_rows


@pytest.mark.parametrize("compression", [None, "gzip", "lz4", "zstd"])
@pytest.mark.parametrize("form", ["CSV", "JSONEachRow", "RowBinary", "Native"])
def test_raw_inserts_in_every_format_and_compression(
    writer: Client, table: str, form: str, compression: str | None
) -> None:
    raw = writer.raw_query(f"SELECT number AS x, toString(number) AS s FROM numbers(5000) FORMAT {form}")
    if compression:
        from clickhouse_connect.driver.compression import get_compressor

        packer = get_compressor(compression)
        raw = bytes(packer.compress_block(raw)) + bytes(packer.flush() or b"")

    summary = writer.raw_insert(table, ["x", "s"], raw, fmt=form, compression=compression)

    assert 5000 == summary.written_rows
    assert (5000, 12497500) == writer.query(f"SELECT count(), sum(x) FROM {table}").first_row


def test_a_raw_insert_may_be_a_stream(writer: Client, table: str) -> None:
    writer.raw_insert(table, ["x", "s"], io.BytesIO(b"1,a\n2,b\n"), fmt="CSV")
    writer.raw_insert(table, ["x", "s"], (line for line in (b"3,c\n", b"4,d\n")), fmt="CSV")

    assert 4 == writer.query(f"SELECT count() FROM {table}").first_row[0]


def test_values_and_parameters_in_an_insert(writer: Client, table: str) -> None:
    writer.command(f"INSERT INTO {table} VALUES (1, 'it''s'), (2, 'FORMAT x'), (1 + 2, upper('c'))")
    writer.command(
        f"INSERT INTO {table} SELECT {{x:UInt64}}, {{s:String}}", parameters={"x": 9, "s": "\t'\\"}
    )
    writer.command(f"INSERT INTO {table} VALUES ({{x:UInt64}}, {{s:String}})", parameters={"x": 10, "s": "v"})
    writer.command(f"INSERT INTO {table} FORMAT CSV", data="4,d\n")

    rows = writer.query(f"SELECT * FROM {table} ORDER BY x").result_rows

    assert [(1, "it's"), (2, "FORMAT x"), (3, "C"), (4, "d"), (9, "\t'\\"), (10, "v")] == rows


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        pytest.param("String", "a'b\\c\td\ne", id="text"),
        pytest.param("String", "", id="empty"),
        pytest.param("UInt64", 2**64 - 1, id="number"),
        pytest.param("Array(String)", ["a'", "b\n"], id="array"),
        pytest.param("DateTime64(3, 'UTC')", dt.datetime(2026, 1, 2, 3, 4, 5, 678000, UTC), id="time"),
        pytest.param("Nullable(String)", None, id="null"),
        pytest.param("IPv6", ipaddress.IPv6Address("::1"), id="address"),
        pytest.param("String", "x" * 20_000, id="so long that it comes as a form"),
    ],
)
def test_typed_parameters_arrive_as_they_were(anyone: Client, kind: str, value: object) -> None:
    rows = anyone.query(f"SELECT {{v:{kind}}}", parameters={"v": value}, tz_mode="aware").result_rows

    assert [(value,)] == rows


def test_settings_of_one_call_hold_for_that_call(anyone: Client) -> None:
    asked = "SELECT getSetting('max_threads')"

    assert 1 == anyone.query(asked, settings={"max_threads": 1}).first_row[0]
    assert 2 == anyone.query(asked).first_row[0]


def test_answers_come_as_rows_arrays_frames_and_arrow(anyone: Client) -> None:
    sql = "SELECT number AS n, toString(number) AS s FROM numbers(3) ORDER BY n"

    assert [(0, "0"), (1, "1"), (2, "2")] == anyone.query(sql).result_rows
    assert [0, 1, 2] == anyone.query_np("SELECT number FROM numbers(3)").flatten().tolist()
    assert ["0", "1", "2"] == anyone.query_df(sql)["s"].tolist()
    assert {"n": [0, 1, 2], "s": ["0", "1", "2"]} == anyone.query_arrow(sql).to_pydict()
    assert b"0,0\n1,1\n2,2\n" == anyone.raw_query(sql, fmt="CSVWithNames").split(b"\n", 1)[1].replace(
        b'"', b""
    )


def test_an_empty_answer_keeps_its_columns(anyone: Client) -> None:
    limited = anyone.query("SELECT x, s FROM audit.t LIMIT 0")

    assert (("x", "s"), []) == (limited.column_names, limited.result_rows)
    assert [] == anyone.query("SELECT x FROM audit.t WHERE 0").result_rows
    assert anyone.query_df("SELECT x FROM audit.t WHERE 0").empty
    assert 0 == anyone.query_arrow("SELECT x FROM audit.t WHERE 0").num_rows


def test_answers_stream(anyone: Client) -> None:
    sql = "SELECT number FROM numbers(200000)"

    with anyone.query_row_block_stream(sql) as blocks:
        assert 200_000 == sum(len(block) for block in blocks)
    with anyone.query_df_stream(sql) as frames:
        assert 200_000 == sum(len(frame) for frame in frames)
    with anyone.query_arrow_stream(sql) as batches:
        assert 200_000 == sum(batch.num_rows for batch in batches)
    assert 200_000 == anyone.raw_stream(sql, fmt="TSV").read().count(b"\n")


@pytest.mark.parametrize("compress", [False, True, "gzip", "lz4", "zstd"])
def test_every_compression_that_the_client_offers(server: ChServerProcess, compress: bool | str) -> None:
    with server.writer_client(compress=compress) as client:
        client.command("CREATE OR REPLACE TABLE audit.packed (x UInt64) ENGINE = MergeTree ORDER BY x")
        client.insert("audit.packed", [[n] for n in range(30_000)], column_names=["x"])

        assert 30_000 == len(client.query("SELECT x FROM audit.packed").result_rows)


@pytest.mark.parametrize(
    ("sql", "code", "name"),
    [
        pytest.param("SELECT * FROM audit.nope", 60, "UNKNOWN_TABLE", id="table"),
        pytest.param("SELECT nope", 47, "UNKNOWN_IDENTIFIER", id="column"),
        pytest.param("SELEC 1", 62, "SYNTAX_ERROR", id="syntax"),
        pytest.param("SELECT throwIf(number = 99999) FROM numbers(100000)", 395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO", id="in the middle"),
        pytest.param("SELECT {a:UInt8}", 456, "UNKNOWN_QUERY_PARAMETER", id="parameter"),
    ],
)  # fmt: skip
def test_errors_carry_clickhouses_code_and_name(anyone: Client, sql: str, code: int, name: str) -> None:
    with pytest.raises(DatabaseError) as caught:
        anyone.query(sql)

    assert (code, name) == (caught.value.code, caught.value.name)


def test_a_broken_insert_stores_nothing_and_says_why(writer: Client, table: str) -> None:
    with pytest.raises(DatabaseError) as caught:
        writer.raw_insert(table, ["x", "s"], b"1,a\nnot a number,b\n", fmt="CSV")

    assert 27 == caught.value.code
    assert 0 == writer.query(f"SELECT count() FROM {table}").first_row[0]


def test_a_wrong_password_is_refused(server: ChServerProcess) -> None:
    with pytest.raises((DatabaseError, OperationalError)) as caught:
        server.writer_client(password="wrong")

    assert "516" in str(caught.value)


def test_the_clients_own_session_ids_do_no_harm(server: ChServerProcess) -> None:
    with clickhouse_connect.get_client(
        host="127.0.0.1", port=server.port, username="auditor", password=""
    ) as client:
        assert [(1,)] == client.query("SELECT 1").result_rows


def test_many_threads_share_one_client(reader: Client, writer: Client, table: str) -> None:
    errors: list[BaseException] = []

    def use(number: int) -> None:
        try:
            for _ in range(5):
                writer.insert(table, [[number, "x"]], column_names=["x", "s"])
        except Exception as error:  # noqa: BLE001 - told by the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [] == errors
    assert 30 == reader.query(f"SELECT count() FROM {table}").first_row[0]


PROTO = """\
syntax = "proto3";
// it's a comment
message Row { uint64 x = 1; string s = 2; }
"""


def test_protobuf_with_a_schema_in_the_url_through_a_null_table_is_stored_once(
    server: ChServerProcess, writer: Client
) -> None:
    writer.command("CREATE TABLE audit.landing (x UInt64, s String) ENGINE = Null")
    writer.command(
        "CREATE TABLE audit.landed (x UInt64, s String, batch String) ENGINE = MergeTree ORDER BY x "
        "SETTINGS non_replicated_deduplication_window = 100"
    )
    writer.command(
        "CREATE MATERIALIZED VIEW audit.landing_mv TO audit.landed AS "
        "SELECT x, s, getSetting('log_comment') AS batch FROM audit.landing"
    )
    body = b"".join(bytes([6, 8, n, 18, 2, 13, 10]) for n in range(1, 101))
    settings = {
        "format_schema_source": "string",
        "format_schema": PROTO,
        "format_schema_message_name": "Row",
        "insert_deduplication_token": "batch-1",
        "deduplicate_blocks_in_dependent_materialized_views": "1",
        "async_insert": "0",
        "log_comment": "it's batch 1",
    }

    for _ in range(2):
        writer.raw_insert("audit.landing", ["x", "s"], body, fmt="Protobuf", settings=settings)

    found = writer.query("SELECT count(), sum(x), any(s), any(batch) FROM audit.landed").first_row
    assert (100, 5050, "\r\n", "it's batch 1") == found
    assert list((server.home / "clickhouse" / "work").rglob("*.proto"))
    assert not (ROOT / "__cache__").exists()
