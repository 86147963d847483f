"""A Check as nearly all are, read in a third of the time that reading all of it takes.

Invariant: what is read here is what `extauthz.wire.asked_from` reads from the same bytes. Bytes that it refuses are
refused here too, but for what stands in Envoy's metadata, which is not looked into: whoever knows those very bytes from
an answer given the general way knows that they can be read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from protos.gen import ext_authz_pb2

if TYPE_CHECKING:
    from google.protobuf.descriptor import FileDescriptor

# What identity is made of, as it came: Envoy's metadata, the route's, and the Authorization header, empty where none
# came. Then the method, the host, the target, and x-request-id.
Usual = tuple[bytes, bytes, bytes, str, str, str, bytes]

# Fields that are left as bytes, however often they come, by their messages.
_UNREAD = {
    "AttributeContext": {"metadata_context", "route_metadata_context"},
    "HeaderMap": {"headers"},
}
# Bytes of Envoy's metadata and of a host; more are not worth remembering.
_MAX_CLAIMS, _MAX_HOST = 4_096, 256


def _line(name: bytes) -> bytes:
    """How a core.v3.HeaderValue begins that has this key and then a raw_value, up to the length of that."""
    return b"\x0a" + bytes((len(name),)) + name + b"\x1a"


# Headers that come, once at the most, where nothing is unusual. Not Host, which Envoy has as :authority: a second
# line of the two is refused, whatever it says.
NAMES = (":path", ":authority", "authorization", "x-request-id", "content-type")
_PATH, _AUTHORITY, _AUTHORIZATION, _REQUEST_ID, _ = _BEGINNINGS = tuple(
    _line(name.encode()) for name in NAMES
)
# By how their lines begin, and where in them the value begins, if its length takes one byte.
_value_at = {line: len(line) + 1 for line in _BEGINNINGS}.get
# Of a line what is neither its name nor its value: two tags and the name's length.
_AROUND_NAME = 3


def _shallow_request() -> Any:
    """The class of CheckRequests that are read as deeply as `_UNREAD` says, and otherwise are the real ones."""
    pool = descriptor_pool.DescriptorPool()
    _add(pool, ext_authz_pb2.DESCRIPTOR, set())
    found = pool.FindMessageTypeByName(ext_authz_pb2.CheckRequest.DESCRIPTOR.full_name)
    return message_factory.GetMessageClass(found)


def _add(pool: descriptor_pool.DescriptorPool, file: FileDescriptor, known: set[str]) -> None:
    if file.name in known:
        return
    known.add(file.name)
    for needed in file.dependencies:
        _add(pool, needed, known)
    proto = descriptor_pb2.FileDescriptorProto()
    file.CopyToProto(proto)
    for message in proto.message_type:
        for field in message.field:
            if field.name in _UNREAD.get(message.name, ()):
                field.type = descriptor_pb2.FieldDescriptorProto.TYPE_BYTES
                field.label = descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED
                field.ClearField("type_name")
    pool.AddSerializedFile(proto.SerializeToString())


Shallow = _shallow_request()
_read = Shallow.FromString


def usual_from(message: bytes) -> Usual | None:
    """What a Check asks, where nothing is unusual; None where anything is.

    Unusual is whatever is not named here: a header by another name, one twice, a host that is not :authority's, a
    certificate, a fragment, many kilobytes of claims, an overlong host.
    """
    try:
        attributes = _read(message).attributes
        http = attributes.request.http
        # A slice is a list, which is walked in half the time.
        seen = _header_lines(http.header_map.headers[:])
    except (DecodeError, IndexError):
        return None
    host = http.host
    if seen is None or len(host) > _MAX_HOST or http.fragment:
        return None
    named, target, request_id = host.encode(), seen.get(_PATH), seen.get(_REQUEST_ID, b"")
    authorization = seen.get(_AUTHORIZATION, b"")
    if target is None or not request_id.isascii() or seen.get(_AUTHORITY, named) != named:
        return None
    source = attributes.source
    claims, route = attributes.metadata_context, attributes.route_metadata_context
    if source.certificate or source.principal or len(claims) > 1 or len(route) > 1:
        return None
    known_by = claims[0] if claims else b""
    if len(known_by) > _MAX_CLAIMS:
        return None
    return (
        known_by,
        route[0] if route else b"",
        authorization,
        http.method,
        host,
        target.decode("latin-1"),
        request_id,
    )


def _header_lines(lines: list[bytes]) -> dict[bytes, bytes] | None:
    """The values by their lines' beginnings, if none is unusual or empty. Raises IndexError for broken lines."""
    seen: dict[bytes, bytes] = {}
    for line in lines:
        begin = line[: line[1] + _AROUND_NAME]
        at = _value_at(begin)
        if at is None:
            return None
        size, value = line[at - 1], line[at:]
        if size > 0x7F:
            size, more, value = size & 0x7F | line[at] << 7, line[at] > 0x7F, value[1:]
            if more:
                return None
        if size != len(value) or not size:
            return None
        seen[begin] = value
    return seen if len(seen) == len(lines) else None
