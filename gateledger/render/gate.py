"""The whole bootstrap: the shipped one with the parts of one's own services in their places. Pure."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateledger.check_retries import check_retries
from gateledger.render import clusters
from gateledger.render.message import check, plain
from gateledger.render.routes import virtual_hosts
from gateledger.render.tls import SecretFile, downstream, upstream
from gateledger.render.tokens import authentication
from gateledger.services.model import identity_settings

if TYPE_CHECKING:
    from pathlib import Path

    from extauthz.identity_settings import IdentitySettings
    from gateledger.services.model import Peer, Services
    from gateledger.services.network import Listener

# What early_header_mutation takes off at once, and what of it also goes behind a trusted proxy: all but
# x-forwarded-for itself. RE2 knows no "all but", so it is spelled out.
_ALL_FORWARDED = {"remove_on_match": {"key_matcher": {"prefix": "x-forwarded-"}}}
_BUT_FOR = {
    "remove_on_match": {
        "key_matcher": {"safe_regex": {"regex": "x-forwarded-(?:[^f].*|f|f[^o].*|fo|fo[^r].*|for.+)?"}}
    }
}
_MIB = 1024 * 1024
_WHERE = ("type", "dns_lookup_family", "load_assignment")
_JWT = "envoy.filters.http.jwt_authn"
_AUTHZ = "envoy.filters.http.ext_authz"
_HEAP = "envoy.resource_monitors.fixed_heap"
_CONNECTIONS = "envoy.resource_monitors.global_downstream_max_connections"


@dataclass(frozen=True, slots=True)
class Rendered:
    """A bootstrap, the files that it names, and what extauthz has to know to go with it."""

    bootstrap: dict[str, Any]
    secrets: tuple[SecretFile, ...]
    identity: IdentitySettings


@dataclass(slots=True)
class _Gate:
    services: Services
    directory: Path
    retries: dict[str, Any] | None = None
    secrets: list[SecretFile] = field(default_factory=list)


def render(base: dict[str, Any], services: Services, directory: Path) -> Rendered:
    """The bootstrap for the services, from `base`: envoy/bootstrap.yaml filled in.

    `directory` is where the secrets' files will stand. Raises RenderError.
    """
    bootstrap = copy.deepcopy(base)
    gate = _Gate(services, directory)
    static = bootstrap["static_resources"]
    static["clusters"] = _clusters(gate, {one["name"]: one for one in static["clusters"]})
    gate.retries = _retries(static["clusters"])
    pattern = static["listeners"][0]
    static["listeners"] = [
        _listener(gate, pattern, one, number) for number, one in enumerate(services.listeners, start=1)
    ]
    _limit(bootstrap["overload_manager"], gate)
    check(bootstrap)
    return Rendered(bootstrap, tuple(gate.secrets), identity_settings(services))


def _clusters(gate: _Gate, shipped: dict[str, Any]) -> list[dict[str, Any]]:
    built = [clusters.of_upstream(one, gate.directory) for one in gate.services.upstreams]
    built.extend(
        filter(None, (clusters.of_keys(one, gate.directory) for one in gate.services.identity.issuers))
    )
    for _, files in built:
        gate.secrets.extend(files)
    own = [plain(cluster) for cluster, _ in built]
    peers = (("extauthz", gate.services.extauthz), ("alslog", gate.services.alslog))
    return [*own, *(_peer(gate, shipped[name], peer) for name, peer in peers)]


def _peer(gate: _Gate, cluster: dict[str, Any], peer: Peer) -> dict[str, Any]:
    """A service of gateledger: only where and how it is reached differs from place to place."""
    if peer.addresses:
        where = plain(clusters.endpoints(cluster["name"], peer.addresses))
        cluster = {**cluster, **{key: where[key] for key in _WHERE if key in where}}
    if peer.tls is None:
        return cluster
    made = upstream(peer.tls, cluster["name"], gate.directory, ["h2"])
    gate.secrets.extend(made.files)
    return {**cluster, "transport_socket": plain(made.socket)}


def _retries(built: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The retry policy of Checks for where extauthz is in the end: the services may have moved it."""
    (cluster,) = (one for one in built if one["name"] == "extauthz")
    return check_retries(cluster["load_assignment"]["endpoints"][0]["lb_endpoints"])


def _listener(gate: _Gate, pattern: dict[str, Any], one: Listener, number: int) -> dict[str, Any]:
    listener: dict[str, Any] = copy.deepcopy(pattern)
    listener["name"] = pattern["name"] if number == 1 else f"{pattern['name']}-{number}"
    host, _, port = one.address.rpartition(":")
    listener["address"] = {"socket_address": {"address": host.strip("[]"), "port_value": int(port)}}
    chain = listener["filter_chains"][0]
    if one.tls:
        made = downstream(one.tls, listener["name"], gate.directory)
        gate.secrets.extend(made.files)
        chain["transport_socket"] = plain(made.socket)
    _fill(chain["filters"][0]["typed_config"], gate, one)
    return listener


def _fill(manager: dict[str, Any], gate: _Gate, one: Listener) -> None:
    services = gate.services
    manager["xff_num_trusted_hops"] = one.trusted_hops
    if one.trusted_hops:
        _keep_forwarded_for(manager)
    manager["scheme_header_transformation"] = {"scheme_to_overwrite": "https" if one.tls else "http"}
    manager["max_request_headers_kb"] = services.limits.headers_kib
    options = manager["common_http_protocol_options"]
    options["max_headers_count"] = services.limits.headers
    options["max_connection_duration"] = f"{one.connection_seconds:g}s"
    manager["route_config"]["virtual_hosts"] = [plain(host) for host in virtual_hosts(services.services)]
    if any(service.websocket for service in services.services):
        # A WebSocket leaves a row when it opens and one when it ends; entry_type tells them apart.
        manager["access_log_options"] = {"flush_log_on_tunnel_successfully_established": True}
    filters = {one["name"]: one for one in manager["http_filters"]}
    if services.identity.issuers:
        jwt = filters[_JWT]["typed_config"]
        filters[_JWT]["typed_config"] = {
            "@type": jwt["@type"],
            **plain(authentication(services.identity.issuers)),
        }
    else:
        manager["http_filters"].remove(filters[_JWT])
    filters[_AUTHZ]["typed_config"]["grpc_service"]["retry_policy"] = gate.retries
    _show_credentials(filters[_AUTHZ]["typed_config"], services)


def _keep_forwarded_for(manager: dict[str, Any]) -> None:
    """Where proxies of one's own come before, their x-forwarded-for is read; its relatives still go."""
    for extension in manager["early_header_mutation_extensions"]:
        mutations = extension["typed_config"]["mutations"]
        if _ALL_FORWARDED in mutations:
            mutations[mutations.index(_ALL_FORWARDED)] = copy.deepcopy(_BUT_FOR)


def _show_credentials(authz: dict[str, Any], services: Services) -> None:
    """Extauthz sees the headers in which credentials stand, and a verified certificate; nobody else does."""
    headers = {header.name for issuer in services.identity.issuers for header in issuer.headers}
    if services.identity.api_keys:
        headers.add(services.identity.api_keys.header)
    patterns = authz["allowed_headers"]["patterns"]
    known = {pattern.get("exact") for pattern in patterns}
    patterns.extend({"exact": name} for name in sorted(headers - known))
    if services.identity.client_certificates:
        authz["include_peer_certificate"] = True


def _limit(overload: dict[str, Any], gate: _Gate) -> None:
    monitors = {one["name"]: one["typed_config"] for one in overload["resource_monitors"]}
    monitors[_CONNECTIONS]["max_active_downstream_connections"] = gate.services.limits.connections
    monitors[_HEAP]["max_heap_size_bytes"] = gate.services.limits.heap_mib * _MIB
