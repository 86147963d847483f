"""Envoy's routes: which request is for which service. Pure.

The service's name travels in the route's metadata; a Host header chooses among routes, and names nothing.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from envoy_data_plane.envoy.config.core.v3 import Metadata
from envoy_data_plane.envoy.config.route.v3 import (
    HeaderMatcher,
    Route,
    RouteAction,
    RouteActionUpgradeConfig,
    RouteMatch,
    VirtualHost,
)
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher
from envoy_data_plane.google.protobuf import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateledger.services.model import Service

ANY = "*"
WILDCARD = "*."
# The namespace and the key by which extauthz learns the service.
NAMESPACE = "gateledger"
KEY = "service"


def virtual_hosts(services: Sequence[Service]) -> list[VirtualHost]:
    """One for each set of hosts with the same routes; what names no host is found on every one.

    Envoy looks into one of them only, the nearest to the host: it has to hold what wider names claim too.
    """
    groups: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for host in sorted({host for one in services for host in one.hosts or (ANY,)}):
        claims = tuple((path, one.name) for path, one in _claims(services, host))
        groups.setdefault(claims, []).append(host)
    by_name = {one.name: one for one in services}
    return [
        VirtualHost(
            name="services" if ANY in hosts else hosts[0],
            domains=hosts,
            routes=[route for path, name in claims for route in _routes(path, by_name[name])],
        )
        for claims, hosts in groups.items()
    ]


def _claims(services: Sequence[Service], host: str) -> list[tuple[str, Service]]:
    """The longest prefix first; of equal ones that of the service which names the host most exactly."""
    near = {one.name: _nearness(one.hosts or (), host) for one in services}
    claims = [(path, one) for one in services if near[one.name] is not None for path in one.paths]
    return sorted(claims, key=lambda claim: (len(claim[0]), near[claim[1].name] or 0), reverse=True)


def _nearness(names: Sequence[str], host: str) -> int | None:
    """How exactly names mean a host: the longer the better, itself best of all; None where none of them does."""
    if not names:
        return 0
    found = [
        len(name) + (name == host)
        for name in names
        if name == host or (name.startswith(WILDCARD) and host.endswith(name.removeprefix(ANY)))
    ]
    return max(found, default=None)


def _routes(path: str, one: Service) -> Iterator[Route]:
    if one.websocket:
        yield _websocket(path, one)
    yield _route(one, _match(path), RouteAction(cluster=one.upstream, timeout=_seconds(one.timeout_seconds)))


def _websocket(path: str, one: Service) -> Route:
    """Its own route, because it has no time limit, and the requests beside it do."""
    match = _match(path)
    upgrade = StringMatcher(exact="websocket", ignore_case=True)
    match.headers = [HeaderMatcher(name="upgrade", string_match=upgrade)]
    action = RouteAction(
        cluster=one.upstream,
        timeout=_seconds(0),
        idle_timeout=_seconds(one.websocket_idle_seconds),
        upgrade_configs=[RouteActionUpgradeConfig(upgrade_type="websocket")],
    )
    return _route(one, match, action)


def _route(one: Service, match: RouteMatch, action: RouteAction) -> Route:
    metadata = Metadata(filter_metadata={NAMESPACE: Struct.from_dict({KEY: one.name})})
    return Route(name=one.name, match=match, route=action, metadata=metadata)


def _match(path: str) -> RouteMatch:
    # "/orders" is "/orders" and "/orders/…", never "/orders-internal".
    return RouteMatch(prefix=path) if path.endswith("/") else RouteMatch(path_separated_prefix=path)


def _seconds(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)
