"""URL parameters as a call."""

from __future__ import annotations

import pytest

from chserver.errors import ClickHouseError
from chserver.form import fields
from chserver.request import call_from


def test_parameters_settings_and_transport_are_told_apart() -> None:
    call = call_from(
        {
            "query": "SELECT 1",
            "database": "audit",
            "default_format": "JSON",
            "query_id": "q1",
            "param_a": "x\ny",
            "param_": "",
            "max_threads": "2",
            "format_schema": 'syntax = "proto3";\nmessage A {}',
            "wait_end_of_query": "1",
            "session_id": "s",
            "client_protocol_version": "54405",
            "enable_http_compression": "1",
            "compress": "0",
        },
        {},
    )

    assert ("SELECT 1", "q1", "audit", "JSON", True) == (
        call.query,
        call.query_id,
        call.database,
        call.default_format,
        call.compressed,
    )
    assert {"max_threads": "2", "format_schema": 'syntax = "proto3";\nmessage A {}'} == call.settings
    assert {"a": "x\ny", "": ""} == call.params


def test_headers_stand_in_for_parameters() -> None:
    call = call_from({}, {"x-clickhouse-database": "audit", "x-clickhouse-format": "CSV"})

    assert ("audit", "CSV") == (call.database, call.default_format)


def test_a_call_without_query_id_gets_one_of_its_own() -> None:
    assert call_from({}, {}).query_id != call_from({}, {}).query_id


@pytest.mark.parametrize("name", ["x\r\nSet-Cookie: a=b", "\u0100", "a b", "\x7f", "q\n", "x" * 129])
def test_a_query_id_that_no_header_can_carry_is_refused(name: str) -> None:
    with pytest.raises(ClickHouseError) as caught:
        call_from({"query_id": name}, {})

    assert 400 == caught.value.status


def test_a_query_id_may_be_any_visible_ascii() -> None:
    name = "!~" * 64

    assert name == call_from({"query_id": name}, {}).query_id


@pytest.mark.parametrize(
    ("name", "status"),
    [
        pytest.param("compress", 501, id="native blocks out"),
        pytest.param("decompress", 501, id="native blocks in"),
        pytest.param("role", 501, id="roles"),
        pytest.param("session_check", 404, id="a session that must be there"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(name: str, status: int) -> None:
    with pytest.raises(ClickHouseError) as caught:
        call_from({name: "1"}, {})

    assert status == caught.value.status


FORM = (
    b'--x\r\nContent-Disposition: form-data; name="query"\r\n\r\nSELECT {a:String}\r\n'
    b'--x\r\nContent-Disposition: form-data; name="param_a"\r\n\r\nb\xc3\xbc\r\n--x--\r\n'
)


def test_a_form_carries_query_and_parameters() -> None:
    assert {"query": "SELECT {a:String}", "param_a": "bü"} == fields("multipart/form-data; boundary=x", FORM)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        pytest.param("multipart/form-data", FORM, id="no boundary"),
        pytest.param("multipart/form-data; boundary=x", b"nothing", id="no parts"),
        pytest.param(
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="t"; filename="t"\r\n\r\n1\r\n--x--\r\n',
            id="an external table",
        ),
        pytest.param("multipart/form-data; boundary=x", b"--x\r\n\r\n1\r\n--x--\r\n", id="no name"),
        pytest.param(
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="query"\r\n\r\n\xff\r\n--x--\r\n',
            id="not text",
        ),
    ],
)
def test_an_odd_form_is_refused(kind: str, body: bytes) -> None:
    with pytest.raises(ClickHouseError):
        fields(kind, body)
