"""Who asks."""

from __future__ import annotations

from base64 import b64encode

import pytest

from chserver.errors import ClickHouseError
from chserver.users import Users, credentials

USERS = Users("gateledger", "s:ecret", "auditor")


@pytest.mark.parametrize(
    ("headers", "params", "expected"),
    [
        pytest.param({"x-clickhouse-user": "a", "x-clickhouse-key": "b"}, {}, ("a", "b"), id="headers"),
        pytest.param({"x-clickhouse-user": "a"}, {}, ("a", ""), id="no key"),
        pytest.param(
            {"authorization": "Basic " + b64encode(b"a:s:x").decode()}, {}, ("a", "s:x"), id="basic"
        ),
        pytest.param({"authorization": "basic " + b64encode(b"a:").decode()}, {}, ("a", ""), id="any case"),
        pytest.param({}, {"user": "a", "password": "b"}, ("a", "b"), id="url"),
        pytest.param({}, {}, ("", ""), id="nobody"),
    ],
)
def test_name_and_password_come_from_one_source(
    headers: dict[str, str], params: dict[str, str], expected: tuple[str, str]
) -> None:
    assert expected == credentials(headers, params)


@pytest.mark.parametrize(
    ("headers", "params"),
    [
        pytest.param({"x-clickhouse-user": "a"}, {"password": "b"}, id="headers and url"),
        pytest.param({"x-clickhouse-user": "a", "authorization": "Basic YTpi"}, {}, id="headers and basic"),
        pytest.param({"authorization": "Bearer YTpi"}, {}, id="another scheme"),
        pytest.param({"authorization": "Basic ???"}, {}, id="not base64"),
        pytest.param({"authorization": "Basic " + b64encode(b"\xff").decode()}, {}, id="not text"),
    ],
)
def test_doubtful_credentials_are_refused(headers: dict[str, str], params: dict[str, str]) -> None:
    with pytest.raises(ClickHouseError) as caught:
        credentials(headers, params)

    assert 516 == caught.value.code


def test_the_two_users_are_known() -> None:
    assert ("writer", "reader") == (USERS.role("gateledger", "s:ecret"), USERS.role("auditor", ""))


@pytest.mark.parametrize(
    ("name", "password"),
    [
        pytest.param("gateledger", "", id="writer without password"),
        pytest.param("gateledger", "S:ecret", id="wrong password"),
        pytest.param("auditor", "s:ecret", id="the writer's password for the reader"),
        pytest.param("default", "", id="no default user"),
        pytest.param("", "", id="nobody"),
        pytest.param("Gateledger", "s:ecret", id="another case"),
        pytest.param("gateledger", "s:ecrét", id="not ascii"),
    ],
)
def test_everybody_else_is_refused(name: str, password: str) -> None:
    with pytest.raises(ClickHouseError) as caught:
        USERS.role(name, password)

    assert (516, 403) == (caught.value.code, caught.value.status)


def test_a_writer_without_password_is_nobody() -> None:
    with pytest.raises(ClickHouseError):
        Users("gateledger", "", "auditor").role("gateledger", "")
