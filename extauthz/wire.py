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
from extauthz.shallow import varint, without
from protos.gen import core_pb2, ext_authz_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

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


def _begins(tag: bytes) -> Callable[[int], bytes]:
    """What stands before a field of so many bytes."""
    return lambda size: tag + varint(size)


# Tags of CheckResponse.dynamic_metadata and of ledger/schema/decision.proto, each with its field's length.
_dynamic_metadata_begin = _begins(b"\x22")
_entry = _said = _begins(b"\x0a")
_named = _begins(b"\x12")
# Made beforehand for nearly all: they are on the way of every Check.
_USUAL = 2_048
_DYNAMIC_METADATA_BEGIN, _SAID, _NAMED = (
    tuple(map(begins, range(_USUAL))) for begins in (_dynamic_metadata_begin, _said, _named)
)
_ENTRY = _SAID
# decision.proto's time, a fixed64: its tag, and the bytes of both.
_TIME = b"\x19"
_TIMED = 9
_METADATA = type(ext_authz_pb2.AttributeContext().metadata_context)
# Tags of google.protobuf.Struct.
_FIELDS = _MAP_KEY = b"\x0a"
_MAP_VALUE = b"\x12"
_STRING_VALUE = b"\x1a"
_OVERWRITE = core_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
_HOST_HEADERS = frozenset({":authority", "host"})


class WireError(ValueError):
    """Bytes that are no CheckRequest."""


def asked_from(message: bytes, credential_headers: frozenset[str] = frozenset()) -> Asked:
    """The question in a serialised CheckRequest. Raises WireError.

    `credential_headers` names the headers, besides authorization, whose lines identity wants to see.
    """
    unreadable = False
    try:
        attributes = ext_authz_pb2.CheckRequest.FromString(message).attributes
    except DecodeError:
        attributes = _without_claims(message)
        unreadable = True
    http = attributes.request.http
    authorization, hosts, paths, connection = [], [], [], []
    request_id = ""
    credentials: dict[str, tuple[str, ...]] = {}
    for name, value in _headers(http):
        if name == "authorization":
            authorization.append(value)
        elif name in _HOST_HEADERS:
            hosts.append(value)
        elif name == ":path":
            paths.append(value)
        elif name == "x-request-id":
            request_id = value
        elif name == "connection":
            connection.append(value)
        elif name in credential_headers:
            credentials[name] = (*credentials.get(name, ()), value)
    return Asked(
        method=http.method,
        # The raw header where Envoy sends it: in http.path each byte that is no UTF-8 became a "!".
        target=paths[0] if len(paths) == 1 else http.path,
        host=http.host,
        scheme=http.scheme,
        client_address=attributes.source.address.socket_address.address,
        service=_service(attributes.route_metadata_context),
        authorization=tuple(authorization),
        credentials=credentials,
        certificate=attributes.source.certificate,
        hosts=tuple(hosts),
        connection=tuple(connection),
        tokens=_fields(attributes.metadata_context, JWT_NAMESPACE),
        fragment=http.fragment,
        unreadable=unreadable,
        request_id=request_id,
    )


def _without_claims(message: bytes) -> ext_authz_pb2.AttributeContext:
    """What a message says beside the claims, where they alone keep it from being read. Raises WireError."""
    attributes = ext_authz_pb2.CheckRequest.ATTRIBUTES_FIELD_NUMBER
    claims = ext_authz_pb2.AttributeContext.METADATA_CONTEXT_FIELD_NUMBER
    try:
        return ext_authz_pb2.CheckRequest.FromString(without(message, attributes, claims)).attributes
    except (DecodeError, ValueError) as error:
        raise WireError("the message is no CheckRequest") from error


def in_order(metadata: bytes) -> bytes:
    """A serialised core.v3.Metadata, its maps' entries in one order. Raises DecodeError."""
    return _METADATA.FromString(metadata).SerializeToString(deterministic=True)


class Answered(NamedTuple):
    """A serialised CheckResponse, and the metadata in it, which says what was decided, by itself.

    `head` is the answer without its metadata.
    """

    answer: bytes
    metadata: bytes
    head: bytes


def answer_to(
    decision: Decision, decide_us: int, credential_headers: Iterable[str] = frozenset()
) -> Answered:
    """The CheckResponse of a decision; never empty, allowing only what is allowed.

    The upstream gets neither authorization nor what `credential_headers` names.
    """
    answer = decision.reason_code.outcome.answer
    response = ext_authz_pb2.CheckResponse()
    if answer is Answer.OK:
        _fill_ok(response.ok_response, decision, credential_headers)
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
    size = len(metadata)
    return b"".join(
        (head, _DYNAMIC_METADATA_BEGIN[size] if size < _USUAL else _dynamic_metadata_begin(size), metadata)
    )


def metadata_entry(key: str, value: str) -> bytes:
    """One text in a google.protobuf.Struct, serialised."""
    text = value.encode("utf-8", "replace")
    return metadata_begin(key, len(text)) + text


def metadata_begin(key: str, size: int) -> bytes:
    """What stands before a text of so many bytes."""
    name, text_size = key.encode(), varint(size)
    content_size = varint(len(_STRING_VALUE) + len(text_size) + size)
    begin = b"".join((_MAP_KEY, varint(len(name)), name, _MAP_VALUE, content_size, _STRING_VALUE, text_size))
    return _FIELDS + varint(len(begin) + size) + begin


def journal_entry(metadata: bytes, request_id: bytes, time_ns: int) -> bytes:
    """What the journal keeps of a decision: an entry of ledger/schema/decision.proto, its tag and length before it.

    Written by hand: the metadata is serialised already, and this is on the way of every Check.
    """
    size, named = len(metadata), len(request_id)
    said = _SAID[size] if size < _USUAL else _said(size)
    by_name = _NAMED[named] if named < _USUAL else _named(named)
    content = size + named + len(said) + len(by_name) + _TIMED
    begin = _ENTRY[content] if content < _USUAL else _entry(content)
    return b"".join((begin, said, metadata, by_name, request_id, _TIME, time_ns.to_bytes(8, "little")))


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


def _fill_ok(ok: ext_authz_pb2.OkHttpResponse, decision: Decision, credential_headers: Iterable[str]) -> None:
    subject = decision.request.subject
    # Envoy leaves credentials in, for us to see the headers whole; the upstream gets the subject instead.
    ok.headers_to_remove.append("authorization")
    ok.headers_to_remove.extend(sorted(credential_headers))
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
