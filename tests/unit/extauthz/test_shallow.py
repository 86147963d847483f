from __future__ import annotations

import pytest
from check_requests import JWT, check_request, metadata
from hypothesis import given
from hypothesis import strategies as st

from extauthz.shallow import varint, without
from extauthz.wire import WireError, asked_from
from protos.gen import ext_authz_pb2

CLAIMS = ext_authz_pb2.AttributeContext.METADATA_CONTEXT_FIELD_NUMBER


def nested(depth: int) -> object:
    return {"x": nested(depth - 1)} if depth else 1


def deep(depth: int) -> bytes:
    """A CheckRequest whose token has claims so deep; put together by hand, since protobuf refuses to."""
    request = ext_authz_pb2.CheckRequest.FromString(check_request(headers=[("x-request-id", b"r-1")]))
    claims = b"\x09" + bytes(8)
    for _ in range(depth):
        entry = b"\x0a\x01x\x12" + varint(len(claims)) + claims
        struct = b"\x0a" + varint(len(entry)) + entry
        claims = b"\x2a" + varint(len(struct)) + struct
    entry = b"\x0a\x01x\x12" + varint(len(claims)) + claims
    struct = b"\x0a" + varint(len(entry)) + entry
    namespace = b"\x0a" + varint(len(JWT)) + JWT.encode() + b"\x12" + varint(len(struct)) + struct
    metadata_ = b"\x0a" + varint(len(namespace)) + namespace
    request.attributes.ClearField("metadata_context")
    attributes = request.attributes.SerializeToString() + bytes((CLAIMS << 3 | 2,)) + varint(len(metadata_)) + metadata_
    return b"\x0a" + varint(len(attributes)) + attributes


def test_the_rest_of_a_message_is_kept() -> None:
    message = check_request(path="/orders/7", tokens={"demo": {"sub": "alice"}})
    attributes = ext_authz_pb2.CheckRequest.FromString(without(message, 1, CLAIMS)).attributes
    expected = ext_authz_pb2.CheckRequest.FromString(message).attributes
    expected.ClearField("metadata_context")

    assert expected == attributes


@pytest.mark.parametrize("depth", [5, 25])
def test_claims_that_can_be_read_are_read(depth: int) -> None:
    asked = asked_from(deep(depth))

    assert not asked.unreadable
    assert asked.tokens


@pytest.mark.parametrize("depth", [40, 400])
def test_claims_that_are_too_deep_leave_the_rest_of_the_question(depth: int) -> None:
    asked = asked_from(deep(depth))

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


def test_such_a_token_is_an_invalid_credential(answer_to_deep: dict[str, str]) -> None:
    assert answer_to_deep["reason_code"] == "invalid_credential"
    assert answer_to_deep["reason"] == "the claims of the token cannot be read: nested too deeply"
    assert answer_to_deep["effect"] == "deny"
    assert answer_to_deep["resource"] == "/orders/1"


@pytest.fixture
def answer_to_deep() -> dict[str, str]:
    import structlog
    from policy_texts import SAMPLE

    from extauthz.check import Checker
    from extauthz.decide import Rules, Snapshot
    from extauthz.engine import Engine

    attributes = ("subject", "service", "resource", "action")
    engine = Engine.from_files(SAMPLE / "model.conf", SAMPLE / "policy.csv", attributes)
    checker = Checker((), Rules(attributes), lambda: Snapshot(engine), lambda *_: None, structlog.get_logger())
    return metadata(checker.check(deep(40)))
