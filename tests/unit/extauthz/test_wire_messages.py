from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from check_requests import check_request, failure, metadata, parsed, token

from access import UNKNOWN, AccessRequest, AuthMethod, Decision, ReasonCode, Subject
from extauthz import wire
from extauthz.asked import Asked
from protos.gen import ext_authz_pb2

ALICE = Subject("alice", ("role:a", "role:b"), AuthMethod.JWT, "demo")
ALLOWED = Decision(
    decision_id="01890000-0000-7000-8000-000000000000",
    request=AccessRequest(ALICE, "orders", "/orders/1", "GET", "orders.example", "https", "192.0.2.7"),
    reason_code=ReasonCode.RULE_ALLOW,
    reason="allowed by the rule in line 3",
    rule="p, alice, orders, /orders/:id, GET, allow",
    rule_line=3,
    policy_version="ab",
    config_version="cd",
)


def headers(options: Any) -> dict[str, str]:
    """Header options as a dict, each of them overwriting what a client or an upstream sent."""
    assert {option.append_action for option in options} == {2}  # OVERWRITE_IF_EXISTS_OR_ADD
    assert len({option.header.key for option in options}) == len(options)
    return {option.header.key: option.header.value for option in options}


def test_a_check_request_is_read_whole() -> None:
    message = check_request(
        "/orders/1?x=1",
        headers=[("Authorization", b"Bearer x"), (":authority", b"orders.example"), ("accept", b"*/*")],
        tokens={**token(roles=["a"], n=7, nested={"x": [True, None]}), **failure("no", issuer="corp")},
    )

    assert wire.asked_from(message) == Asked(
        method="GET",
        target="/orders/1?x=1",
        host="orders.example",
        scheme="https",
        client_address="192.0.2.7",
        service="orders",
        authorization=("Bearer x",),
        hosts=("orders.example",),
        tokens={
            "demo": {"sub": "alice", "roles": ["a"], "n": 7.0, "nested": {"x": [True, None]}},
            "corp.failed": {"code": 2.0, "message": "no"},
        },
    )


def test_duplicates_stay_apart() -> None:
    asked = wire.asked_from(check_request(headers=[("authorization", b"a"), ("authorization", b"b")]))

    assert asked.authorization == ("a", "b")


def test_the_path_is_the_raw_one_where_envoy_sends_it() -> None:
    asked = wire.asked_from(check_request("/a!", headers=[(":path", b"/a\xff")]))

    assert asked.target == "/a\xff"


def test_joined_headers_are_read_where_raw_ones_are_off() -> None:
    asked = wire.asked_from(check_request(joined_headers={"authorization": "Bearer x", ":authority": "o"}))

    assert asked.authorization == ("Bearer x",)
    assert asked.hosts == ("o",)


@pytest.mark.parametrize(
    "service",
    [pytest.param(None, id="no metadata"), pytest.param("", id="empty")],
)
def test_a_route_without_a_service_gives_none(service: str | None) -> None:
    assert not wire.asked_from(check_request(service=service)).service


def test_reading_asks_the_maps_without_filling_them() -> None:
    assert wire.asked_from(b"") == Asked()


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(b"\xff", id="noise"),
        pytest.param(b"\x0a\x05\x22", id="cut"),
        pytest.param(check_request(method="GOT").replace(b"GOT", b"G\xffT"), id="a text that is not UTF-8"),
    ],
)
def test_bytes_that_are_no_check_request_are_told_from_those_that_are(message: bytes) -> None:
    with pytest.raises(wire.WireError):
        wire.asked_from(message)


def test_an_allowing_answer_names_the_subject_to_the_upstream() -> None:
    response = parsed(wire.answer_to(ALLOWED, 12).answer)

    assert response.status.code == 0
    assert headers(response.ok_response.headers) == {
        "x-subject": "alice",
        "x-roles": "role:a,role:b",
        "x-decision-id": ALLOWED.decision_id,
    }
    assert list(response.ok_response.headers_to_remove) == ["authorization"]
    assert headers(response.ok_response.response_headers_to_add) == {"x-decision-id": ALLOWED.decision_id}


def test_roles_that_a_client_claims_are_removed_where_there_are_none() -> None:
    nobody = replace(ALLOWED, request=replace(ALLOWED.request, subject=Subject("alice")))

    response = parsed(wire.answer_to(nobody, 12).answer)

    assert list(response.ok_response.headers_to_remove) == ["authorization", "x-roles"]
    assert "x-roles" not in headers(response.ok_response.headers)


def test_the_metadata_carries_the_whole_decision_as_texts() -> None:
    assert metadata(wire.answer_to(ALLOWED, 12).answer) == {
        "decision_id": ALLOWED.decision_id,
        "effect": "allow",
        "reason_code": "rule_allow",
        "reason": "allowed by the rule in line 3",
        "subject": "alice",
        "roles": "role:a,role:b",
        "auth_method": "jwt",
        "auth_issuer": "demo",
        "service": "orders",
        "action": "GET",
        "resource": "/orders/1",
        "rule": "p, alice, orders, /orders/:id, GET, allow",
        "rule_line": "3",
        "policy_version": "ab",
        "config_version": "cd",
        "decide_us": "12",
    }


def test_what_is_not_known_is_empty_but_there() -> None:
    undecided = Decision("id", AccessRequest(UNKNOWN), ReasonCode.OVERLOADED, "too many")

    found = metadata(wire.answer_to(undecided, 0).answer)

    assert set(found) == set(metadata(wire.answer_to(ALLOWED, 0).answer))
    assert found["rule_line"] == found["subject"] == found["policy_version"] == ""
    assert (found["effect"], found["auth_method"]) == ("deny", "none")


@pytest.mark.parametrize("code", [code for code in ReasonCode if code is not ReasonCode.RULE_ALLOW])
def test_a_refusal_has_one_form(code: ReasonCode) -> None:
    response = parsed(
        wire.answer_to(replace(ALLOWED, reason_code=code, reason="the secret cause"), 12).answer
    )
    denied = response.denied_response if code.outcome.answer == "denied" else response.error_response
    found = headers(denied.headers)
    body = json.loads(denied.body)

    assert response.WhichOneof("http_response") == f"{code.outcome.answer}_response"
    assert response.status.code != 0
    assert code.outcome.status == denied.status.code == body["status"]
    assert (code.outcome.status == 401) == ("www-authenticate" in found)
    assert found["content-type"] == "application/problem+json"
    assert found["x-decision-id"] == body["decision_id"] == ALLOWED.decision_id
    assert body["reason_code"] == code.value
    assert set(body) == {"type", "title", "status", "detail", "decision_id", "reason_code"}
    assert "line 3" not in denied.body
    assert "secret" not in denied.body
    assert "alice" not in denied.body


@pytest.mark.parametrize(
    ("response", "allow"),
    [
        pytest.param(ext_authz_pb2.CheckResponse(), False, id="empty"),
        pytest.param(ext_authz_pb2.CheckResponse(), True, id="empty, though allowed"),
        pytest.param(
            ext_authz_pb2.CheckResponse(denied_response=ext_authz_pb2.DeniedHttpResponse()),
            False,
            id="code 0",
        ),
        pytest.param(
            ext_authz_pb2.CheckResponse(ok_response=ext_authz_pb2.OkHttpResponse()),
            False,
            id="ok for a denial",
        ),
    ],
)
def test_an_answer_that_envoy_would_misread_is_never_sealed(
    response: ext_authz_pb2.CheckResponse, allow: bool
) -> None:
    with pytest.raises(AssertionError):
        wire._sealed(response, allow=allow)
