"""What a call's headers say: well-formed or not (RFC 9113, 8), and what gRPC makes of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from extauthz.http2.status import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from extauthz.http2.hpack import Header
    from extauthz.http2.method import Method

_PSEUDO = frozenset({b":method", b":scheme", b":path", b":authority"})
_OF_CONNECTIONS = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
)
# RFC 9113, 8.2.1: what a name or a value must not hold.
_NAME = re.compile(rb":?[!-9;-@\[-~]+")
_VALUE = re.compile(rb"[^\x00\r\n]*")
_TIMEOUT = re.compile(rb"([0-9]{1,8})([HMSmun])")
_SECONDS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_CONTENT_TYPE = re.compile(rb"application/grpc(?:[+;].*)?", re.IGNORECASE | re.DOTALL)


class Malformed(ValueError):  # noqa: N818 - RFC 9113's word
    """Headers that make a stream error of type PROTOCOL_ERROR."""


@dataclass(frozen=True, slots=True)
class Head:
    """A call before its message. Without a method it is refused with `status`, or with HTTP's `http_status`."""

    method: Method | None = None
    # Seconds; None without one.
    timeout: float | None = None
    status: Status = Status.OK
    http_status: int = 200
    text: str = ""
    content_length: int | None = None
    compressed: bool = False
    # Who calls: what the method makes of the metadata. Calls with the same headers share one Head.
    caller: Any = None


def head_of(headers: Iterable[Header], methods: Mapping[bytes, Method]) -> Head:
    """The head of a call. Raises Malformed."""
    pseudo, fields = _checked(headers)
    length = _content_length(fields)
    if pseudo[b":method"] != b"POST":
        return Head(http_status=405, text="gRPC is POST", content_length=length)
    if not _CONTENT_TYPE.fullmatch(fields.get(b"content-type", b"")):
        return Head(http_status=415, text="gRPC's content-type is application/grpc", content_length=length)
    encoding = fields.get(b"grpc-encoding", b"identity")
    timeout = None
    if b"grpc-timeout" in fields:
        found = _TIMEOUT.fullmatch(fields[b"grpc-timeout"])
        if not found:
            return Head(status=Status.INTERNAL, text="a grpc-timeout that is none", content_length=length)
        timeout = int(found[1]) * _SECONDS[found[2]]
    method = methods.get(pseudo[b":path"])
    if method is None:
        return Head(status=Status.UNIMPLEMENTED, text="no such method", content_length=length)
    compressed, caller = encoding != b"identity", method.caller(fields)
    return Head(method, timeout, content_length=length, compressed=compressed, caller=caller)


def is_trailers(headers: Iterable[Header]) -> bool:
    """Whether headers may end a call: well-formed, and no pseudo-header among them."""
    return all(not name.startswith(b":") and _fine(name, value) for name, value in headers)


def _checked(headers: Iterable[Header]) -> tuple[dict[bytes, bytes], dict[bytes, bytes]]:
    """Pseudo-headers and the others, the lines of one name joined. Raises Malformed."""
    pseudo: dict[bytes, bytes] = {}
    fields: dict[bytes, bytes] = {}
    for name, value in headers:
        if not _fine(name, value):
            raise Malformed("a header that HTTP/2 does not allow")
        if name.startswith(b":"):
            if fields or name in pseudo or name not in _PSEUDO:
                raise Malformed("a pseudo-header that is unknown, twice there, or late")
            pseudo[name] = value
        else:
            fields[name] = fields[name] + b"," + value if name in fields else value
    if pseudo.get(b":method") == b"CONNECT":
        raise Malformed("CONNECT is not served")
    if not (pseudo.get(b":method") and pseudo.get(b":scheme") and pseudo.get(b":path")):
        raise Malformed("a request without method, scheme or path")
    return pseudo, fields


def _fine(name: bytes, value: bytes) -> bool:
    if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value) or name in _OF_CONNECTIONS:
        return False
    if value[:1] in {b" ", b"\t"} or value[-1:] in {b" ", b"\t"}:
        return False
    return name != b"te" or value.lower() == b"trailers"


def _content_length(fields: Mapping[bytes, bytes]) -> int | None:
    text = fields.get(b"content-length")
    if text is None:
        return None
    if not re.fullmatch(rb"[0-9]{1,18}", text):
        raise Malformed("a content-length that is no number")
    return int(text)
