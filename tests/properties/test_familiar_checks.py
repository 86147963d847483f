"""What a Checker remembers makes it quicker, and nothing else: its answers are those of one that remembers nothing."""

from __future__ import annotations

from typing import Any

import pytest
import structlog
from check_answers import ATTRIBUTES, METADATA, SAMPLE_ENGINE
from check_requests import NO_TOKEN, check_request, failure, parsed, token
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_texts import SAMPLE

from extauthz import check, wire
from extauthz.check import Checked, Checker
from extauthz.decide import Rules, Snapshot
from extauthz.engine import Engine
from extauthz.identity_settings import IdentitySettings, Issuer
from protos.gen import ext_authz_pb2

BEARER = (b"authorization", b"Bearer aa.bb.cc")
TOKENS: list[dict[str, Any]] = [
    token("alice", roles=["customer"]),
    token("alice", roles=["admin"]),
    token("zoe"),
    token("role:admin"),
    token("anonymous"),
    {**token("alice"), **token("bob", "corp")},
    NO_TOKEN,
    failure("Jwt is expired"),
    {},
]
AUTHORIZATIONS = [
    b"Bearer aa.bb.cc",
    b"Bearer dd.ee.ff",
    b"Bearer aa, Bearer bb",
    b"Basic eHg",
    b"bearer aa.bb.cc",
    b"Bearer ",
    b"",
]
OTHER_HEADERS = [
    ("content-type", b"application/grpc"),
    ("content-type", b"x"),
    ("connection", b"x-subject"),
    ("host", b"a"),
    ("x", b"y"),
]
PATHS = [
    "/orders/1",
    "/orders/1?a=b",
    "/orders/%31",
    "/orders/1;a",
    "//orders/1",
    "/orders/../admin",
    "/admin/users",
    "/orders/1#x",
    "*",
    "",
]


def asked(path: str = "/orders/1", method: str = "GET", service: str = "orders", tokens: Any = None) -> bytes:
    lines = [(":path", path.encode()), (":authority", b"orders.example"), ("x-request-id", b"r-1")]
    lines.append((BEARER[0].decode(), BEARER[1]))
    return check_request(path, method=method, service=service, tokens=tokens or TOKENS[0], headers=lines)


checks = st.builds(
    lambda path, method, host, service, tokens, headers, more, request_id: check_request(
        "ignored",
        method=method,
        host=host,
        service=service,
        tokens=tokens,
        headers=[
            (":path", path.encode()),
            (":authority", host.encode()),
            ("x-request-id", request_id),
            *(("authorization", line) for line in headers),
            *more,
        ],
    ),
    st.sampled_from(PATHS),
    st.sampled_from(["GET", "POST", "get"]),
    st.sampled_from(["orders.example", "orders.example:443", "a b"]),
    st.sampled_from(["orders", "admin", None]),
    st.sampled_from(TOKENS),
    st.lists(st.sampled_from(AUTHORIZATIONS), max_size=2),
    st.lists(st.sampled_from(OTHER_HEADERS), max_size=1),
    st.sampled_from([b"r-1", b"r-2"]),
)
# Most come again and again, as requests do.
usual = st.builds(
    asked,
    st.sampled_from(PATHS[:3]),
    st.sampled_from(["GET", "POST"]),
    st.sampled_from(["orders", "admin"]),
    st.sampled_from(TOKENS[:5]),
)


def checker(snapshot: Snapshot | None = None, **header: str) -> Checker:
    issuer: dict[str, Any] = {"headers": [header]} if header else {}
    issuers = (Issuer(name="demo", roles=("*",), **issuer), Issuer(name="corp", subject="corp:{sub}"))
    identity = IdentitySettings.model_construct(issuers=issuers)
    decided = snapshot or Snapshot(SAMPLE_ENGINE)
    return Checker(identity, Rules(ATTRIBUTES), lambda: decided, lambda *_: None, structlog.get_logger())


def substance(checked: Checked) -> tuple[bytes, bytes]:
    """An answer and its journal entry, without what no two answers share: id and times."""
    response = parsed(checked.answer)
    fields = response.dynamic_metadata.fields
    name = fields["decision_id"].string_value
    assert set(fields) == METADATA
    assert fields["decide_us"].string_value.isdigit()
    assert len(name) == 36
    fields["decide_us"].string_value = "0"
    told = response.SerializeToString(deterministic=True).replace(name.encode(), b"id")
    assert name.encode() in checked.entry
    # The request's id, of three bytes, stands before the time's tag and eight bytes.
    return told, checked.entry[-14:-9]


@settings(max_examples=60)
@given(st.lists(st.one_of(usual, usual, checks), min_size=2, max_size=12))
def test_answers_are_those_of_a_checker_that_remembers_nothing(messages: list[bytes]) -> None:
    remembers = checker()

    for message in messages:
        assert substance(remembers.checked(message)) == substance(checker().checked(message))


@pytest.mark.parametrize(
    ("message", "code"),
    [
        pytest.param(asked(), "rule_allow", id="allowed"),
        pytest.param(asked("/admin/users", service="admin"), "no_matching_rule", id="denied"),
        pytest.param(asked("/orders/1", tokens=NO_TOKEN), "invalid_credential", id="not verified"),
    ],
)
def test_what_came_before_is_not_looked_at_as_a_whole_again(
    message: bytes, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    remembers = checker()
    first = remembers.checked(message)

    monkeypatch.setattr(check, "decide", lambda *_: pytest.fail("the general way"))

    assert first.reason_code == code
    if code == "invalid_credential":
        with pytest.raises(pytest.fail.Exception):
            remembers.checked(message)
    else:
        assert substance(first) == substance(remembers.checked(message))


def test_a_new_policy_is_asked_at_once_and_named_in_its_answers(tmp_path: Any) -> None:
    policy = tmp_path / "policy.csv"
    policy.write_text("p, role:customer, orders, /orders/*, GET, deny\np, alice, *, /*, GET, allow\n")
    now = [Snapshot(SAMPLE_ENGINE)]
    issuers = (Issuer(name="demo", roles=("*",)),)
    identity = IdentitySettings(issuers=issuers)
    one = Checker(identity, Rules(ATTRIBUTES), lambda: now[0], lambda *_: None, structlog.get_logger())
    before = [one.checked(asked()).reason_code for _ in range(2)]
    replacement = Engine.from_files(SAMPLE / "model.conf", policy, ATTRIBUTES)
    now[0] = Snapshot(replacement)
    after = [one.checked(asked()) for _ in range(2)]
    versions = {parsed(each.answer).dynamic_metadata["policy_version"] for each in after}
    now[0] = Snapshot(None)
    without = one.checked(asked()).reason_code

    assert before == ["rule_allow", "rule_allow"]
    assert [each.reason_code for each in after] == ["rule_deny", "rule_deny"]
    assert versions == {replacement.version}
    assert without == "policy_unavailable"


def test_where_tokens_stand_otherwise_nothing_is_remembered() -> None:
    """Two headers with the same verified claims, of which one holds more than the token."""
    remembers = checker(name="authorization", prefix="Bearer a")
    good = asked(tokens=token("alice", roles=["customer"]))
    request = ext_authz_pb2.CheckRequest.FromString(good)
    (line,) = (
        each for each in request.attributes.request.http.header_map.headers if each.key == "authorization"
    )
    line.raw_value = b"Bearer bb.cc"

    assert wire.usual_from(good) is not None
    assert remembers.checked(good).reason_code == "rule_allow"
    assert remembers.checked(request.SerializeToString()).reason_code == "invalid_credential"
