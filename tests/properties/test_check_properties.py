"""Whatever comes as a Check, the answer is one: never empty, never an accidental allow, never an exception."""

from __future__ import annotations

import re
from typing import Any

import pytest
import structlog
from check_answers import ATTRIBUTES, answered, assert_sound
from check_requests import JWT, allows, check_request, parsed, token
from hypothesis import example, given
from hypothesis import strategies as st

from access import ReasonCode, readings, split
from extauthz import wire
from extauthz.check import Checker
from extauthz.decide import Rules, Snapshot
from extauthz.identity_settings import IdentitySettings
from protos.gen import ext_authz_pb2


@given(st.binary(max_size=300))
@example(b"")
def test_any_bytes_get_a_sound_answer_that_allows_nothing(message: bytes) -> None:
    answer, watched = answered(message)

    assert_sound(answer, watched)
    assert not allows(answer)


@given(st.data())
def test_a_damaged_check_request_gets_a_sound_answer(data: st.DataObject) -> None:
    message = bytearray(check_request(headers=[("authorization", b"Bearer x")]))
    for _ in range(data.draw(st.integers(1, 4))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(message)))

    assert_sound(*answered(bytes(message)))
    assert_sound(*answered(bytes(message[:cut])))


SUBJECTS = st.sampled_from(["alice", "bob", "carol", "dave", "", "*", "anonymous", "role:admin"]) | st.text(
    max_size=6
)
PATHS = st.sampled_from(
    [
        "/orders",
        "/orders/1",
        "/orders/health",
        "/orders/1/payment",
        "/admin",
        "/billing/x",
        "/orders/%40",
        "/a;b",
        "",
    ]
) | st.text(max_size=8).map(lambda text: "/" + text)
METHODS = st.sampled_from(["GET", "POST", "DELETE", "get", "", "GET "])
JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
PAYLOADS = st.fixed_dictionaries(
    {"sub": SUBJECTS | JSON}, optional={"roles": st.lists(st.text(max_size=4)) | JSON}
)
TOKENS = st.dictionaries(
    st.sampled_from(["demo", "corp", "other", "demo.failed", "corp.failed"]), PAYLOADS | JSON, max_size=3
)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["authorization", ":authority", "host", ":path", "x-subject"]), st.binary(max_size=12)
    ),
    max_size=3,
)


@given(
    path=PATHS,
    method=METHODS,
    tokens=TOKENS,
    service=st.sampled_from(["orders", "admin", "", None]),
    headers=HEADERS,
)
def test_any_check_request_gets_a_sound_answer(
    path: str, method: str, tokens: dict[str, Any], service: str | None, headers: list[tuple[str, bytes]]
) -> None:
    message = check_request(path, method=method, tokens=tokens, service=service, headers=headers)

    assert_sound(*answered(message))


@given(path=PATHS, subject=SUBJECTS)
def test_what_is_allowed_is_what_the_engine_was_asked_about(path: str, subject: str) -> None:
    answer, watched = answered(check_request(path, tokens=token(subject)))
    if allows(answer):
        resource = parsed(answer).dynamic_metadata["resource"]
        expected = [(subject, "orders", reading, "GET") for reading in readings(split(path).path)]

        assert resource == split(path).path
        assert expected == [values for values, _ in watched.asked]


@given(st.text(max_size=10))
def test_a_client_cannot_speak_for_envoy(text: str) -> None:
    """What a client controls (headers, path, query) never becomes a subject."""
    request = ext_authz_pb2.CheckRequest.FromString(
        check_request(tokens={}, headers=[("x-subject", b"alice"), (JWT, b"alice"), ("demo", text.encode())])
    )
    request.attributes.context_extensions["subject"] = "alice"
    request.attributes.source.principal = "spiffe://evil/alice"

    answer, watched = answered(request.SerializeToString())

    assert {values[0] for values, _ in watched.asked} == {"anonymous"}
    assert not allows(answer)


@pytest.mark.parametrize("code", list(ReasonCode))
def test_no_reason_gives_an_empty_answer(code: ReasonCode) -> None:
    checker = Checker(
        IdentitySettings(), Rules(ATTRIBUTES), lambda: Snapshot(None), lambda *_: None, structlog.get_logger()
    )
    if code is ReasonCode.RULE_ALLOW:
        return

    answer = checker.refused(code, "x")[0]

    assert not allows(answer)


def test_answers_are_built_in_one_place() -> None:
    """Structural: only wire._sealed serialises a CheckResponse, so that no other can be sent."""
    source = wire.__loader__.get_source("extauthz.wire")  # type: ignore[union-attr]

    assert len(re.findall(r"response\.SerializeToString", source)) == 1
    assert "response.SerializeToString" in source[source.index("def _sealed") : source.index("def _headers")]
