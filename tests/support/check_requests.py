"""Builders of CheckRequests as Envoy sends them, and readers of the answers; each takes what a test is about."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from extauthz.shallow import varint
from protos.gen import ext_authz_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

JWT = "envoy.filters.http.jwt_authn"
CLAIMS = ext_authz_pb2.AttributeContext.METADATA_CONTEXT_FIELD_NUMBER


def check_request(
    path: str = "/orders/1",
    *,
    method: str = "GET",
    host: str = "orders.example",
    service: str | None = "orders",
    tokens: Mapping[str, Any] | None = None,
    headers: Sequence[tuple[str, bytes]] = (),
    joined_headers: Mapping[str, str] | None = None,
    client_address: str = "192.0.2.7",
) -> bytes:
    """A serialised CheckRequest. `tokens` is jwt_authn's metadata; default: alice, verified by demo."""
    request = ext_authz_pb2.CheckRequest()
    attributes = request.attributes
    http = attributes.request.http
    http.method, http.path, http.host, http.scheme = method, path, host, "https"
    for name, value in headers:
        header = http.header_map.headers.add()
        header.key, header.raw_value = name, value
    http.headers.update(joined_headers or {})
    attributes.source.address.socket_address.address = client_address
    attributes.metadata_context.filter_metadata[JWT].update(token() if tokens is None else tokens)
    if service is not None:
        attributes.route_metadata_context.filter_metadata["gateledger"].update({"service": service})
    return request.SerializeToString()


def token(sub: str = "alice", issuer: str = "demo", **claims: Any) -> dict[str, Any]:
    """jwt_authn's metadata for a verified token."""
    return {issuer: {"sub": sub, **claims}}


def bearer(payload: bytes, header: bytes = b'{"alg":"RS256"}') -> str:
    """An Authorization header with a token that holds this payload; its signature is none."""
    parts = (
        base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (header, payload, b"signed" * 8)
    )
    # All signatures are alike, and long.
    return "Bearer " + ".".join(parts)


def failure(message: str, code: int = 2, issuer: str = "demo") -> dict[str, Any]:
    """jwt_authn's metadata for a token that failed."""
    return {f"{issuer}.failed": {"code": code, "message": message}}


def deep_request(depth: int) -> bytes:
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
    tag = bytes((CLAIMS << 3 | 2,))
    attributes = request.attributes.SerializeToString() + tag + varint(len(metadata_)) + metadata_
    return b"\x0a" + varint(len(attributes)) + attributes


# What jwt_authn says of a good token, where it says no more than that.
GOOD = {"demo.header": {"alg": "RS256", "typ": "JWT"}}
NO_TOKEN = failure("Jwt is missing", 1)


def parsed(answer: bytes) -> ext_authz_pb2.CheckResponse:
    """A CheckResponse that is one: never empty, and of one kind."""
    assert answer
    response = ext_authz_pb2.CheckResponse.FromString(answer)
    assert response.WhichOneof("http_response") is not None
    return response


def metadata(answer: bytes) -> dict[str, Any]:
    """The dynamic metadata of a serialised CheckResponse."""
    return dict(parsed(answer).dynamic_metadata.items())


def allows(answer: bytes) -> bool:
    """Whether Envoy would let the request pass."""
    return parsed(answer).status.code == 0
