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
# What makes a Check another one; the first of each is as nearly all have it.
ASPECTS: dict[str, list[Any]] = {
    "path": [
        "/orders/1",
        "/orders/2",
        "/orders/1?a=b",
        "/orders/%31",
        "/orders/1;a",
        "//orders/1",
        "/orders/../admin",
        "/admin/users",
        "/orders/1#x",
        "*",
        "",
    ],
    "method": ["GET", "POST", "get"],
    "host": ["orders.example", "orders.example:443", "a b", ""],
    "service": ["orders", "admin", None],
    "tokens": TOKENS,
    "authorization": [
        [b"Bearer aa.bb.cc"],
        [],
        [b"Bearer aa, Bearer bb"],
        [b"Basic eHg"],
        [b"bearer aa.bb.cc"],
        [b"Bearer "],
        [b""],
        [b"Bearer aa.bb.cc", b"Bearer aa.bb.cc"],
    ],
    "more": [
        [],
        [("content-type", b"application/grpc")],
        [("connection", b"x-subject")],
        [("host", b"another.example")],
        [(":authority", b"another.example")],
        [(":path", b"/admin/users")],
        [("x", b"y")],
    ],
    "fragment": ["", "x"],
    "request_id": [b"r-1", b"r-2"],
}


def asked(**aspects: Any) -> bytes:
    """A Check as nearly all are, but for what is said here."""
    said = {name: values[0] for name, values in ASPECTS.items()} | aspects
    headers = [(":path", said["path"].encode()), (":authority", said["host"].encode())]
    headers += [("x-request-id", said["request_id"])]
    headers += [("authorization", line) for line in said["authorization"]] + said["more"]
    request = ext_authz_pb2.CheckRequest.FromString(
        check_request(
            method=said["method"],
            host=said["host"],
            service=said["service"],
            tokens=said["tokens"],
            headers=headers,
        )
    )
    request.attributes.request.http.fragment = said["fragment"]
    return request.SerializeToString()


usual = st.sampled_from(
    [
        asked(),
        asked(path="/orders/2"),
        asked(tokens=TOKENS[2]),
        asked(tokens={}),
        asked(tokens={}, authorization=[]),
    ]
)
one_thing_else = st.sampled_from(list(ASPECTS)).flatmap(
    lambda name: st.builds(lambda value: asked(**{name: value}), st.sampled_from(ASPECTS[name]))
)
many_things_else = st.fixed_dictionaries(
    {name: st.sampled_from(values) for name, values in ASPECTS.items()}
).map(lambda aspects: asked(**aspects))


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


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(usual, one_thing_else, many_things_else), min_size=2, max_size=20))
def test_answers_are_those_of_a_checker_that_remembers_nothing(messages: list[bytes]) -> None:
    remembers = checker()

    for message in messages:
        assert substance(remembers.checked(message)) == substance(checker().checked(message))


@pytest.mark.parametrize(
    ("message", "code"),
    [
        pytest.param(asked(), "rule_allow", id="allowed"),
        pytest.param(asked(path="/admin/users", service="admin"), "no_matching_rule", id="denied"),
        pytest.param(asked(tokens=NO_TOKEN), "invalid_credential", id="not verified"),
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
    policy.write_text((SAMPLE / "policy.csv").read_text() + "p, zoe, orders, /orders/:id, GET, allow\n")
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
    assert [each.reason_code for each in after] == ["rule_allow", "rule_allow"]
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
