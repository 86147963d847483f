"""The auditor against the real engine: what is answered, and that nothing else is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from chserver_http import READER, Reply, request, writer

from chserver.reader_rules import SETTINGS, TABLE_FUNCTIONS, function_allowed

if TYPE_CHECKING:
    from chserver_process import ChServerProcess

HERE = Path(__file__).parent


def lines(name: str) -> list[str]:
    text = (HERE / name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def rows(reply: Reply) -> list[str]:
    assert 200 == reply.status, reply.text
    return reply.text.splitlines()


@pytest.mark.parametrize("statement", lines("answered.txt"))
def test_a_readers_statement_is_answered(server: ChServerProcess, statement: str) -> None:
    reply = request(server, statement)

    assert 200 == reply.status, reply.text


@pytest.mark.parametrize("statement", lines("refused.txt"))
def test_a_trick_is_refused(server: ChServerProcess, statement: str, tmp_path: Path) -> None:
    written = tmp_path / "pwned"

    reply = request(server, statement.replace("PWNED", str(written)))

    assert 400 <= reply.status < 500 or "446" == reply.headers["x-clickhouse-exception-code"], reply.text
    assert reply.headers["x-clickhouse-exception-code"] != "1002"
    assert "root:" not in reply.text
    assert "SECRET'" not in reply.text
    assert not written.exists()


def test_every_table_function_of_the_engine_is_refused_unless_it_is_listed(server: ChServerProcess) -> None:
    names = rows(request(server, "SELECT name FROM system.table_functions", headers=writer(server)))

    open_ones = []
    for name in names:
        arguments = [
            "",
            "1",
            "'/etc/passwd', 'LineAsString'",
            "default, secret",
            "SELECT 1 ELSE null('x Int8')",
        ]
        replies = [request(server, f"SELECT * FROM `{name}`({argument}) LIMIT 1") for argument in arguments]
        refused = any("is not open to readers" in reply.text for reply in replies)
        if not refused or any(reply.status == 200 for reply in replies):
            open_ones.append(name)

    assert len(names) > 80
    assert set(open_ones) <= {name for name in names if name.lower() in TABLE_FUNCTIONS}


def test_every_function_of_the_engine_is_refused_unless_it_is_listed(server: ChServerProcess) -> None:
    names = rows(request(server, "SELECT name FROM system.functions", headers=writer(server)))
    refused = [name for name in names if not function_allowed(name)]

    replies = {name: request(server, f"SELECT `{name}`('/etc/passwd')") for name in refused}

    assert 340 < len(refused) < 430, (
        "the engine has other functions than those that were looked at: sort them"
    )
    assert {} == {
        name: reply.text for name, reply in replies.items() if "is not open to readers" not in reply.text
    }


def test_refused_functions_are_those_that_were_looked_at(server: ChServerProcess) -> None:
    names = rows(
        request(server, "SELECT name FROM system.functions WHERE origin = 'System'", headers=writer(server))
    )

    assert lines("refused_functions.txt") == sorted(name for name in names if not function_allowed(name))


def test_listed_settings_are_the_engines(server: ChServerProcess) -> None:
    names = rows(request(server, "SELECT name FROM system.settings", headers=writer(server)))

    assert set() == SETTINGS - set(names)


@pytest.mark.parametrize(
    ("params", "what"),
    [
        pytest.param({"database": "system"}, "database system", id="database"),
        pytest.param({"database": "default`; SELECT 1 --"}, "database", id="a database that breaks out"),
        pytest.param({"default_format": "Template"}, "format Template", id="default format"),
        pytest.param({"readonly": "0"}, "setting readonly", id="readonly"),
        pytest.param({"max_execution_time": "0"}, "max_execution_time", id="no time limit"),
        pytest.param({"max_execution_time": "3"}, "max_execution_time", id="more time"),
        pytest.param({"max_memory_usage": "99999999999"}, "max_memory_usage", id="more memory"),
        pytest.param({"max_threads": "64"}, "max_threads", id="more threads"),
        pytest.param({"max_result_bytes": "0"}, "max_result_bytes", id="more bytes"),
        pytest.param({"dialect": "kusto"}, "dialect", id="another language"),
        pytest.param({"implicit_select": "1"}, "implicit_select", id="another grammar"),
        pytest.param(
            {"additional_result_filter": "file('/etc/passwd') = ''"}, "additional_result_filter", id="filter"
        ),
        pytest.param({"output_format_schema": "/tmp/x"}, "output_format_schema", id="a file written"),
        pytest.param(
            {"format_schema": "x", "format_schema_source": "string"}, "format_schema", id="a schema"
        ),
        pytest.param({"log_comment": "x"}, "log_comment", id="another mark"),
        pytest.param({"max_threads = 1, readonly": "0"}, "setting", id="a setting that breaks out"),
        pytest.param({"role": "writer"}, "role", id="role"),
    ],
)
def test_the_url_does_not_widen_what_a_reader_may(
    server: ChServerProcess, params: dict[str, str], what: str
) -> None:
    reply = request(server, "SELECT 1", **params)

    assert reply.status in {403, 501}, reply.text
    assert what in reply.text


@pytest.mark.parametrize(
    "params",
    [
        pytest.param({"param_t": "system.processes"}, id="a table"),
        pytest.param({"param_t": "secret"}, id="another table"),
        pytest.param({"param_t": "t"}, id="even a harmless one"),
    ],
)
def test_a_parameter_is_a_value_never_a_name(server: ChServerProcess, params: dict[str, str]) -> None:
    assert 403 == request(server, "SELECT * FROM {t:Identifier}", **params).status
    assert 403 == request(server, "SELECT * FROM audit.t WHERE x IN {t:Identifier}", **params).status


def test_a_parameters_text_is_never_read_as_sql(server: ChServerProcess) -> None:
    hostile = "'), (SELECT file('/etc/passwd')) --"

    assert [hostile.replace("'", "\\'")] == rows(request(server, "SELECT {a:String}", param_a=hostile))


def test_query_in_the_url_and_in_the_body_are_checked_as_one(server: ChServerProcess) -> None:
    assert 403 == request(server, "file('/etc/passwd')", query="SELECT").status
    assert 403 == request(server, "INTO OUTFILE '/tmp/x'", query="SELECT 1").status
    assert ["1"] == rows(request(server, "1", query="SELECT"))
    assert 400 == request(server, "; DROP TABLE audit.t", query="SELECT 1").status


def test_the_current_database_of_a_reader_may_be_audit(server: ChServerProcess) -> None:
    assert ["1000"] == rows(request(server, "SELECT count() FROM t", database="audit"))
    assert ["t"] == rows(request(server, "SHOW TABLES LIKE 't'", database="audit"))
    assert 200 == request(server, "DESCRIBE t", database="audit").status


def test_the_engine_itself_shows_a_reader_nothing_but_audit(server: ChServerProcess) -> None:
    names = (
        "SELECT DISTINCT database FROM system.tables WHERE database != 'system' AND name NOT ILIKE '%schema%'"
    )

    assert ["audit"] == rows(request(server, names))
    assert ["audit"] == rows(request(server, "SELECT DISTINCT database FROM system.parts"))
    assert "secret" not in request(server, "SELECT * FROM system.columns").text


def test_a_reader_sees_no_other_setting_than_its_own(server: ChServerProcess) -> None:
    request(server, "SELECT 1", headers=writer(server), log_comment="the writer's words")

    assert "the writer's words" not in request(server, "SELECT * FROM system.settings").text


def test_what_a_reader_sets_ends_with_its_request(server: ChServerProcess) -> None:
    request(server, "SELECT 1", max_threads="1")

    assert ["2"] == rows(request(server, "SELECT getSetting('max_threads')"))
    assert ["0"] == rows(request(server, "SELECT getSetting('readonly')", headers=writer(server)))
    assert ["2"] == rows(request(server, "SELECT getSetting('readonly')", headers=READER))
