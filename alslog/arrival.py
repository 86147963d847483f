"""From a message as it came to a record as it is spooled. Pure: peer and time are passed in."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from google.protobuf.message import DecodeError

from alslog.wire import WireError, split
from protos.gen.als_pb2 import StreamAccessLogsMessage

# What we keep of a name that Envoy's configuration gave itself.
_NAME_BYTES = 256


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose stream this is. Envoy tells it in a stream's first message only."""

    node: str
    log_name: str = ""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message's record: `origin` and `payload` for the spool, the number of entries, and the
    cause if it could not be read (then the payload is the message as it came).
    """

    origin: bytes
    payload: bytes | memoryview
    entries: int
    unparsed: str | None = None


def stranger(peer: str) -> Identity:
    """The identity of a stream that has not said whose it is."""
    return Identity(_capped(f"unknown:{peer}"))


def arrival_from(message: bytes, identity: Identity, received_at: int) -> tuple[Identity, Arrival | None]:
    """The stream's identity from now on, and what to store: None when the message has no entries.

    `received_at` in unix ns. Never raises: what is no StreamAccessLogsMessage is stored as it came.
    """
    try:
        parts = split(message)
    except WireError as error:
        cause = str(error)
        return identity, Arrival(
            _origin(identity, received_at, kind="unparsed", cause=cause), message, 0, unparsed=cause
        )
    if parts.identifier is not None:
        identity = _identity_from(parts.identifier, identity)
    if not parts.count or not parts.kind:
        return identity, None
    # The count saves the ledger writer a look at each entry; alslog/wire.py has looked.
    origin = _origin(identity, received_at, kind=parts.kind, entries=parts.count)
    return identity, Arrival(origin, parts.entries, parts.count)


def _identity_from(identifier: bytes, before: Identity) -> Identity:
    """What the identifier says; what it leaves out, or an unreadable one as a whole, stays as it was."""
    try:
        read = StreamAccessLogsMessage.Identifier.FromString(identifier)
    except DecodeError:
        return before
    named = replace(before, log_name=_capped(read.log_name))
    return replace(named, node=_capped(read.node.id)) if read.node.id else named


def _capped(name: str) -> str:
    return name.encode("utf-8", "replace")[:_NAME_BYTES].decode("utf-8", "ignore")


def _origin(identity: Identity, received_at: int, **more: str | int) -> bytes:
    fields = {"node": identity.node, "log_name": identity.log_name, "received_at": received_at, **more}
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
