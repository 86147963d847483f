"""Envoy's ext_authz messages: CheckRequest in, CheckResponse out. Pure; the only home of the protos here.

An empty CheckResponse means ALLOW to Envoy. `_sealed` is the one place that serialises an answer,
and refuses one that does not say what it is.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from google.protobuf.message import DecodeError

from access import Answer, Decision, ReasonCode
from extauthz.asked import Asked
from protos.gen import core_pb2, ext_authz_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from google.protobuf.struct_pb2 import Struct, Value

JWT_NAMESPACE = "envoy.filters.http.jwt_authn"
ROUTE_NAMESPACE = "gateledger"
SERVICE_KEY = "service"

_GRPC_CODES = {200: 0, 400: 3, 401: 16, 403: 7, 503: 14}
_TITLES = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 503: "Service Unavailable"}
_DETAILS = {
    ReasonCode.RULE_DENY: "The policy denies this request.",
    ReasonCode.NO_MATCHING_RULE: "The policy does not allow this request.",
    ReasonCode.UNAUTHENTICATED: "This request needs credentials, and none came with it.",
    ReasonCode.INVALID_CREDENTIAL: "The credentials of this request are not accepted.",
    ReasonCode.BAD_PATH: "The path of this request can be read in more than one way.",
    ReasonCode.BAD_REQUEST: "This request is malformed.",
    ReasonCode.OVERLOADED: "Too many requests are waiting for a decision; try again.",
}
_UNDECIDED = "This request could not be decided on."
_WWW_AUTHENTICATE = {
    ReasonCode.UNAUTHENTICATED: 'Bearer realm="gateledger"',
    ReasonCode.INVALID_CREDENTIAL: 'Bearer realm="gateledger", error="invalid_token"',
}
# Tags of ledger/schema/decision.proto: field and wire type.
_ENTRY = b"\x0a"
_METADATA = b"\x0a"
_REQUEST_ID = b"\x12"
_TIME = b"\x19"
# Tags of google.protobuf.Struct, and of CheckResponse.dynamic_metadata.
_DYNAMIC_METADATA = b"\x22"
_FIELDS = _MAP_KEY = b"\x0a"
_MAP_VALUE = b"\x12"
_STRING_VALUE = b"\x1a"
# Numbers up to that of nearly every length, as protobuf writes them.
_SHORT = (
    *(bytes((number,)) for number in range(0x80)),
    *(bytes((number & 0x7F | 0x80, number >> 7)) for number in range(0x80, 0x1000)),
)
# How a request's Authorization header looks, all that identity makes of it beside Envoy's metadata.
_NO_CREDENTIAL, _TOKEN, _NO_TOKEN = range(3)
_TOKEN_BYTES = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
# Headers that come once where nothing is unusual; either of the two names of the host.
_SEEN_ONCE = {":path": 1, "authorization": 2, ":authority": 4, "host": 4}
_OVERWRITE = core_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
_HOST_HEADERS = frozenset({":authority", "host"})


class WireError(ValueError):
    """Bytes that are no CheckRequest."""


def asked_from(message: bytes) -> Asked:
    """The question in a serialised CheckRequest. Raises WireError."""
    try:
        attributes = ext_authz_pb2.CheckRequest.FromString(message).attributes
    except DecodeError as error:
        raise WireError("the message is no CheckRequest") from error
    http = attributes.request.http
    authorization, hosts, paths = [], [], []
    request_id = ""
    for name, value in _headers(http):
        if name == "authorization":
            authorization.append(value)
        elif name in _HOST_HEADERS:
            hosts.append(value)
        elif name == ":path":
            paths.append(value)
        elif name == "x-request-id":
            request_id = value
    return Asked(
        method=http.method,
        # The raw header where Envoy sends it: in http.path each byte that is no UTF-8 became a "!".
        target=paths[0] if len(paths) == 1 else http.path,
        host=http.host,
        scheme=http.scheme,
        client_address=attributes.source.address.socket_address.address,
        service=_service(attributes.route_metadata_context),
        authorization=tuple(authorization),
        hosts=tuple(hosts),
        tokens=_fields(attributes.metadata_context, JWT_NAMESPACE),
        fragment=http.fragment,
        request_id=request_id,
    )


class Usual(NamedTuple):
    """A Check as nearly all are. `who` stands for all that identity and answer are made of, besides path and method."""

    who: tuple[bytes, bytes, int]
    method: str
    target: str
    host: str
    request_id: str


def usual_from(message: bytes) -> Usual | None:
    """What `asked_from` reads, in a third of its time, where nothing is unusual; None where anything is.

    Unusual is whatever is not named here: a header by another name, one twice, a certificate, a fragment.
    """
    try:
        attributes = ext_authz_pb2.CheckRequest.FromString(message).attributes
    except DecodeError:
        return None
    http = attributes.request.http
    host, target, credential, request_id = http.host, "", _NO_CREDENTIAL, ""
    lines = 0
    for header in http.header_map.headers:
        name, value = header.key, header.raw_value
        if not value or name in _SEEN_ONCE and lines & _SEEN_ONCE[name]:
            return None
        if name == "x-request-id":
            request_id = value.decode("latin-1")
        elif name in _SEEN_ONCE:
            lines |= _SEEN_ONCE[name]
            if name == ":path":
                target = value.decode("latin-1")
            elif name == "authorization":
                credential = _TOKEN if _is_token(value) else _NO_TOKEN
            elif value != host.encode():
                return None
        elif name != "content-type" or value.startswith(b"application/grpc"):
            return None
    if http.fragment or not target or attributes.source.certificate or attributes.source.principal:
        return None
    known_by = attributes.metadata_context.SerializeToString()
    route = attributes.route_metadata_context.SerializeToString()
    return Usual((known_by, route, credential), http.method, target, host, request_id)


def _is_token(authorization: bytes) -> bool:
    """Whether the header holds "Bearer", a token's characters, and nothing more: identity knows it by no more than that."""
    return authorization.startswith(b"Bearer ") and not authorization[7:].translate(None, _TOKEN_BYTES) and len(authorization) > 7


class Answered(NamedTuple):
    """A serialised CheckResponse, and the metadata in it, which says what was decided, by itself.

    `head` is the answer without its metadata.
    """

    answer: bytes
    metadata: bytes
    head: bytes


def answer_to(decision: Decision, decide_us: int) -> Answered:
    """The CheckResponse of a decision; never empty, allowing only what is allowed."""
    answer = decision.reason_code.outcome.answer
    response = ext_authz_pb2.CheckResponse()
    if answer is Answer.OK:
        _fill_ok(response.ok_response, decision)
    elif answer is Answer.DENIED:
        _fill_denied(response.denied_response, decision)
    else:
        _fill_denied(response.error_response, decision)
    response.status.code = _GRPC_CODES[decision.reason_code.outcome.status or 200]
    said = metadata_of(decision, decide_us)
    metadata = b"".join(metadata_entry(key, value) for key, value in said.items())
    head = _sealed(response, allow=answer is Answer.OK)
    return Answered(with_metadata(head, metadata), metadata, head)


def with_metadata(head: bytes, metadata: bytes) -> bytes:
    """A whole answer: what it says to Envoy, and what it says of the decision."""
    return b"".join((head, _DYNAMIC_METADATA, varint(len(metadata)), metadata))


def metadata_entry(key: str, value: str) -> bytes:
    """One text in a google.protobuf.Struct, serialised."""
    name, text = key.encode(), value.encode("utf-8", "replace")
    content = _STRING_VALUE + varint(len(text)) + text
    entry = b"".join((_MAP_KEY, varint(len(name)), name, _MAP_VALUE, varint(len(content)), content))
    return _FIELDS + varint(len(entry)) + entry


def journal_entry(metadata: bytes, request_id: str, time_ns: int) -> bytes:
    """What the journal keeps of a decision: an entry of ledger/schema/decision.proto, its tag and length before it.

    Written by hand: the metadata is serialised already, and this is on the way of every Check.
    """
    named = request_id.encode("utf-8", "replace")
    content = b"".join(
        (
            *(_METADATA, varint(len(metadata)), metadata),
            *(_REQUEST_ID, varint(len(named)), named),
            *(_TIME, time_ns.to_bytes(8, "little")),
        )
    )
    return b"".join((_ENTRY, varint(len(content)), content))


def varint(number: int) -> bytes:
    """A number as protobuf writes it."""
    if number < len(_SHORT):
        return _SHORT[number]
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _sealed(response: ext_authz_pb2.CheckResponse, *, allow: bool) -> bytes:
    said = response.WhichOneof("http_response")
    allows = said == "ok_response" and response.status.code == 0
    if said is None or allows != allow or (not allow and response.status.code == 0):
        raise AssertionError(f"an answer that says {said} with code {response.status.code}")
    return response.SerializeToString()


def _headers(http: ext_authz_pb2.AttributeContext.HttpRequest) -> Iterable[tuple[str, str]]:
    """Header lines, names in lower case; bytes outside ASCII stay apart as Latin-1 characters."""
    if http.HasField("header_map"):
        for header in http.header_map.headers:
            yield header.key.lower(), header.raw_value.decode("latin-1") or header.value
    else:
        for name, value in http.headers.items():
            yield name.lower(), value


def _service(metadata: core_pb2.Metadata) -> str:
    service = _fields(metadata, ROUTE_NAMESPACE).get(SERVICE_KEY)
    return service if isinstance(service, str) else ""


def _fields(metadata: core_pb2.Metadata, namespace: str) -> Mapping[str, object]:
    # Indexing a protobuf map creates the entry; asking for it does not.
    if namespace not in metadata.filter_metadata:
        return {}
    return _plain(metadata.filter_metadata[namespace])


def _plain(struct: Struct) -> dict[str, object]:
    return {key: _value(value) for key, value in struct.fields.items()}


def _value(value: Value) -> object:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return value.string_value
    if kind == "struct_value":
        return _plain(value.struct_value)
    if kind == "list_value":
        return [_value(item) for item in value.list_value.values]
    if kind == "number_value":
        return value.number_value
    if kind == "bool_value":
        return value.bool_value
    return None


def metadata_of(decision: Decision, decide_us: int) -> dict[str, str]:
    """What an answer says of its decision; the names that hold."""
    request = decision.request
    return {
        "decision_id": decision.decision_id,
        "effect": decision.effect.value,
        "reason_code": decision.reason_code.value,
        "reason": decision.reason,
        "subject": request.subject.name,
        "roles": ",".join(request.subject.roles),
        "auth_method": request.subject.auth_method.value,
        "auth_issuer": request.subject.issuer,
        "service": request.service,
        "action": request.action,
        "resource": request.resource,
        "rule": decision.rule,
        "rule_line": "" if decision.rule_line is None else str(decision.rule_line),
        "policy_version": decision.policy_version,
        "config_version": decision.config_version,
        "decide_us": str(decide_us),
    }


def _fill_ok(ok: ext_authz_pb2.OkHttpResponse, decision: Decision) -> None:
    subject = decision.request.subject
    # Envoy leaves the token in, for us to see the header whole; the upstream gets the subject instead.
    ok.headers_to_remove.append("authorization")
    upstream = {
        "x-subject": subject.name,
        "x-roles": ",".join(subject.roles),
        "x-decision-id": decision.decision_id,
    }
    for name, value in upstream.items():
        if value:
            _set(ok.headers.add(), name, value)
        else:
            # Envoy removes after it sets: a header is named in one of the two lists only.
            ok.headers_to_remove.append(name)
    _set(ok.response_headers_to_add.add(), "x-decision-id", decision.decision_id)


def _fill_denied(denied: ext_authz_pb2.DeniedHttpResponse, decision: Decision) -> None:
    code = decision.reason_code
    status = code.outcome.status
    # The enum names only some statuses; the field takes any.
    denied.status.code = status  # type: ignore[assignment]
    _set(denied.headers.add(), "content-type", "application/problem+json")
    _set(denied.headers.add(), "x-decision-id", decision.decision_id)
    if code in _WWW_AUTHENTICATE:
        _set(denied.headers.add(), "www-authenticate", _WWW_AUTHENTICATE[code])
    problem = {
        "type": "about:blank",
        "title": _TITLES[status],
        "status": status,
        "detail": _DETAILS.get(code, _UNDECIDED),
        "decision_id": decision.decision_id,
        "reason_code": code.value,
    }
    denied.body = json.dumps(problem)


def _set(option: core_pb2.HeaderValueOption, name: str, value: str) -> None:
    option.header.key = name
    option.header.value = value
    option.append_action = _OVERWRITE
