"""What Envoy asks in one Check, in plain types: everything that identity and decision need, no more."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

METHOD = re.compile(r"[A-Z][A-Z-]{0,31}")
# What Connection may say of a request that is to become a tunnel. Any other name in it is a header
# that a proxy behind the gate would take off, such as x-subject.
_CONNECTION = re.compile(r"(?i:[ \t]*(?:upgrade|keep-alive|close)[ \t]*(?:,|\Z))*")
# A host as the Host header has it: name or address, with or without port; no list, no user, no space.
_HOST = re.compile(r"(?:[A-Za-z0-9_~-][A-Za-z0-9._~-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as Envoy describes it. Header values are kept apart, one entry a header line."""

    method: str = ""
    # The request target: path and query.
    target: str = ""
    host: str = ""
    scheme: str = ""
    client_address: str = ""
    service: str = ""
    authorization: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    # The lines of other headers that hold credentials by the settings, by their names in lower case.
    credentials: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    # The client certificate that the listener verified, URL-encoded PEM; empty where none came.
    certificate: str = ""
    # Envoy leaves this header in tunnel handshakes only.
    connection: tuple[str, ...] = ()
    # What jwt_authn verified (provider name → payload) or refused (NAME.failed → {code, message}).
    tokens: Mapping[str, object] = field(default_factory=dict)
    fragment: str = ""
    # Whether the verified claims could not be read: nested more deeply than the wire's reader goes.
    unreadable: bool = False
    # x-request-id, which Envoy makes: the name that its log entry has too.
    request_id: str = ""


def problem(asked: Asked) -> str:
    """Why the request cannot be decided on, apart from its path; empty when it can."""
    if not METHOD.fullmatch(asked.method):
        return "a method that is no upper-case word" if asked.method else "no HTTP request in the Check"
    if len(asked.hosts) > 1:
        return f"{len(asked.hosts)} Host headers"
    if not all(_HOST.fullmatch(host) for host in (asked.host, *asked.hosts)):
        return "a Host header that names no host"
    if not all(_CONNECTION.fullmatch(line) for line in asked.connection):
        return "a Connection header that names other headers"
    if not asked.service:
        return "route has no service"
    return ""


def host_name(host: str) -> str:
    """A host for comparing: lower case, without port and final dot."""
    name = host if host.startswith("[") and host.endswith("]") else re.sub(r":[0-9]*\Z", "", host)
    return name.lower().removesuffix(".")
