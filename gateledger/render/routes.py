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
# The namespace and the key by which extauthz learns the service.
NAMESPACE = "gateledger"
KEY = "service"


def virtual_hosts(services: Sequence[Service]) -> list[VirtualHost]:
    """One for each set of hosts with the same routes; what names no host is found on every one."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for host in sorted({host for one in services for host in one.hosts or (ANY,)}):
        on_host = [one for one in services if not one.hosts or host in one.hosts]
        groups.setdefault(tuple(one.name for one in on_host), []).append(host)
    by_name = {one.name: one for one in services}
    return [
        VirtualHost(
            name="services" if ANY in hosts else hosts[0],
            domains=hosts,
            routes=list(_routes([by_name[name] for name in names])),
        )
        for names, hosts in groups.items()
    ]


def _routes(services: Sequence[Service]) -> Iterator[Route]:
    """The longest prefix first; of equal ones that of a service which names its hosts."""
    claims = [(path, one) for one in services for path in one.paths]
    for path, one in sorted(claims, key=lambda claim: (-len(claim[0]), not claim[1].hosts)):
        if one.websocket:
            yield _websocket(path, one)
        yield _route(
            one, _match(path), RouteAction(cluster=one.upstream, timeout=_seconds(one.timeout_seconds))
        )


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
