"""Finding one's way in a bootstrap. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MANAGER = "http_connection_manager.v3.HttpConnectionManager"
AUTHZ = "ext_authz.v3.ExtAuthz"
JWT = "jwt_authn.v3.JwtAuthentication"
DOWNSTREAM_TLS = "tls.v3.DownstreamTlsContext"
UPSTREAM_TLS = "tls.v3.UpstreamTlsContext"


def config(one: Mapping[str, Any]) -> Mapping[str, Any]:
    """The typed_config of a filter or a log, and whether it is disabled."""
    return {"@type": "", **(one.get("typed_config") or {}), "disabled": one.get("disabled", False)}


def of_type(node: object, suffix: str) -> Iterator[Mapping[str, Any]]:
    """Every object of a type, wherever it stands."""
    return (one for one in typed(node) if one["@type"].endswith(suffix))


def typed(node: object) -> Iterator[Mapping[str, Any]]:
    """Every object with an "@type", wherever it stands."""
    return (one for one in objects(node) if isinstance(one.get("@type"), str))


def objects(node: object) -> Iterator[Mapping[str, Any]]:
    """Every object, wherever it stands."""
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from objects(value)
    elif isinstance(node, list):
        for value in node:
            yield from objects(value)
