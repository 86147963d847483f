from __future__ import annotations

import pytest
from check_answers import answered
from check_requests import CLAIMS, check_request, deep_request, metadata
from hypothesis import given
from hypothesis import strategies as st

from extauthz.shallow import without
from extauthz.wire import WireError, asked_from
from protos.gen import ext_authz_pb2


def test_the_rest_of_a_message_is_kept() -> None:
    message = check_request(path="/orders/7", tokens={"demo": {"sub": "alice"}})
    attributes = ext_authz_pb2.CheckRequest.FromString(without(message, 1, CLAIMS)).attributes
    expected = ext_authz_pb2.CheckRequest.FromString(message).attributes
    expected.ClearField("metadata_context")

    assert expected == attributes


@pytest.mark.parametrize("depth", [5, 25])
def test_claims_that_can_be_read_are_read(depth: int) -> None:
    asked = asked_from(deep_request(depth))

    assert not asked.unreadable
    assert asked.tokens


@pytest.mark.parametrize("depth", [40, 400])
def test_claims_that_are_too_deep_leave_the_rest_of_the_question(depth: int) -> None:
    asked = asked_from(deep_request(depth))

    assert asked.unreadable
    assert asked.target == "/orders/1"
    assert asked.request_id == "r-1"
    assert not asked.tokens


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(b"\xff" * 20, id="a number without end"),
        pytest.param(b"\x0a\x7f", id="cut"),
        pytest.param(b"\x0b", id="a group"),
        pytest.param(b"\x0a\x02\x22\x7f", id="cut within"),
    ],
)
def test_bytes_that_are_no_message_are_an_error(message: bytes) -> None:
    with pytest.raises(WireError):
        asked_from(message)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_message_or_an_error(message: bytes) -> None:
    try:
        left = without(message, 1, CLAIMS)
    except ValueError:
        return

    assert len(left) <= len(message) + 5 * len(message)


def test_such_a_token_is_an_invalid_credential() -> None:
    told = metadata(answered(deep_request(40))[0])

    assert told["reason_code"] == "invalid_credential"
    assert told["reason"] == "the claims of the token cannot be read: nested too deeply"
    assert told["effect"] == "deny"
    assert told["resource"] == "/orders/1"
