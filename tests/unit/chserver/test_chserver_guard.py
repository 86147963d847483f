"""Other web pages are kept out."""

from __future__ import annotations

import pytest

from chserver import guard
from chserver.errors import ClickHouseError

ALLOWED = ("127.0.0.1", "localhost", "[::1]")


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"host": "127.0.0.1:8123"}, id="loopback"),
        pytest.param({"host": "LOCALHOST"}, id="a name in any case"),
        pytest.param({"host": "[::1]:8123"}, id="six"),
        pytest.param({"host": "[::1]"}, id="six without port"),
        pytest.param({"host": "localhost:1", "origin": "http://localhost:3000"}, id="a page of this machine"),
        pytest.param({"host": "localhost:1", "sec-fetch-site": "same-origin"}, id="its own page"),
        pytest.param({"host": "localhost:1", "sec-fetch-site": "none"}, id="typed by a person"),
    ],
)
def test_requests_of_this_machine_go_on(headers: dict[str, str]) -> None:
    guard.check(headers, ALLOWED)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="no host"),
        pytest.param({"host": "evil.example"}, id="rebinding"),
        pytest.param({"host": "evil.example:8123"}, id="rebinding with port"),
        pytest.param({"host": "127.0.0.1.evil.example"}, id="a name that begins well"),
        pytest.param({"host": "evil.example@127.0.0.1"}, id="user information"),
        pytest.param({"host": "localhost:8123:evil"}, id="two ports"),
        pytest.param({"host": "::1"}, id="six without brackets"),
        pytest.param({"host": "localhost", "origin": "http://evil.example"}, id="foreign origin"),
        pytest.param({"host": "localhost", "origin": "null"}, id="origin null"),
        pytest.param({"host": "localhost", "origin": ""}, id="empty origin"),
        pytest.param({"host": "localhost", "origin": "http://[::1"}, id="an origin that is no address"),
        pytest.param({"host": "localhost", "origin": "http://a\u2100b"}, id="an origin of odd letters"),
        pytest.param({"host": "localhost", "sec-fetch-site": "cross-site"}, id="an image of a foreign page"),
        pytest.param({"host": "localhost", "sec-fetch-site": "same-site"}, id="another port's page"),
    ],
)
def test_foreign_requests_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(ClickHouseError) as caught:
        guard.check(headers, ALLOWED)

    assert (497, 403) == (caught.value.code, caught.value.status)
