"""Checks as nearly all are but for what a test says, and what is compared of their answers."""

from __future__ import annotations

import json
from typing import Any

import structlog
from check_answers import ATTRIBUTES, METADATA, SAMPLE_ENGINE
from check_requests import (
    GOOD,
    NO_TOKEN,
    bearer,
    check_request,
    failure,
    parsed,
    token,
)
from hypothesis import strategies as st

from access import ReasonCode
from extauthz.check import Checked, Checker
from extauthz.decide import Rules, Snapshot
from extauthz.identity_settings import IdentitySettings, Issuer
from extauthz.shallow import varint
from extauthz.usual import Shallow
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
    GOOD,
    {**GOOD, **failure("Jwt is expired")},
]
# As long as tokens are: a length that takes two bytes.
ALICES, ZOES = (
    bearer(json.dumps({"sub": sub, "roles": ["customer"], "jti": "x" * 64}).encode()).encode()
    for sub in ("alice", "zoe")
)
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
        [ALICES],
        [ZOES],
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
        [("host", b"orders.example")],
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
    # In the order in which Envoy has those of HTTP/1.
    headers = [(":authority", said["host"].encode()), (":path", said["path"].encode())]
    headers += [("authorization", line) for line in said["authorization"]]
    headers += [("x-request-id", said["request_id"]), *said["more"]]
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


def replaced(message: bytes, old: bytes, new: bytes) -> bytes:
    """The Check with another header line, whatever it holds."""
    request = Shallow.FromString(message)
    lines = request.attributes.request.http.header_map.headers
    lines[list(lines).index(old)] = new
    return bytes(request.SerializeToString())


usual = st.sampled_from(
    [
        asked(),
        asked(path="/orders/2"),
        asked(tokens=TOKENS[2]),
        asked(tokens={}),
        asked(tokens={}, authorization=[]),
        asked(tokens=GOOD, authorization=[ALICES]),
        asked(tokens=GOOD, authorization=[ZOES]),
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


def code_of(checked: Checked) -> ReasonCode:
    return checked[2]


def substance(checked: Checked) -> tuple[bytes, bytes]:
    """An answer and its journal entry, without what no two answers share: id and times."""
    response = parsed(checked[0])
    fields, metadata = response.dynamic_metadata.fields, response.dynamic_metadata.ByteSize()
    name = fields["decision_id"].string_value
    assert set(fields) == METADATA
    assert fields["decide_us"].string_value.isdigit()
    assert len(name) == 36
    fields["decide_us"].string_value = "0"
    told = response.SerializeToString(deterministic=True).replace(name.encode(), b"id")
    assert name.encode() in checked[1]
    # The metadata's length is the first of an entry's content; the request's id stands before the time.
    begin = checked[1].index(b"\x0a", 1)
    behind = begin + 1 + len(varint(metadata)) + metadata
    return told, checked[1][behind:-9]
