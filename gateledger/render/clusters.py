"""Envoy's clusters: where requests, key fetches, Checks and log entries go. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from envoy_data_plane.envoy.config.cluster.v3 import (
    Cluster,
    ClusterDiscoveryType,
    ClusterDnsLookupFamily,
    ClusterLbPolicy,
)
from envoy_data_plane.envoy.config.core.v3 import Address, Http2ProtocolOptions, Pipe, SocketAddress
from envoy_data_plane.envoy.config.endpoint.v3 import (
    ClusterLoadAssignment,
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
)
from envoy_data_plane.envoy.extensions.upstreams.http.v3 import (
    HttpProtocolOptions,
    HttpProtocolOptionsExplicitHttpConfig,
)

from gateledger.render.message import packed
from gateledger.render.tls import SecretFile, upstream
from gateledger.services.network import UNIX, ClientTls, is_ip

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gateledger.services.model import TokenIssuer
    from gateledger.services.network import Upstream

JWKS_PREFIX = "jwks."
BUFFER_BYTES = 32768
HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

Built = tuple[Cluster, tuple[SecretFile, ...]]


def of_upstream(one: Upstream, directory: Path) -> Built:
    """The cluster of an upstream of one's own, and the secrets that it names."""
    cluster = _cluster(one.name, one.addresses, one.connect_timeout_seconds)
    if len(one.addresses) > 1:
        cluster.lb_policy = ClusterLbPolicy.LEAST_REQUEST
    if one.protocol == "h2":
        http2 = HttpProtocolOptionsExplicitHttpConfig(http2_protocol_options=Http2ProtocolOptions())
        cluster.typed_extension_protocol_options = {
            HTTP_OPTIONS: packed(HttpProtocolOptions(explicit_http_config=http2))
        }
    return _secured(cluster, one.tls, directory, ["h2" if one.protocol == "h2" else "http/1.1"])


def of_keys(issuer: TokenIssuer, directory: Path) -> Built | None:
    """The cluster that an issuer's keys are fetched from; None where they stand in a file."""
    server = issuer.jwks_server
    if server is None:
        return None
    parts = urlsplit(server.uri)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    tls = ClientTls(sni=host, ca=server.ca) if parts.scheme == "https" else None
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    cluster = _cluster(JWKS_PREFIX + issuer.name, [address], server.timeout_seconds)
    return _secured(cluster, tls, directory, ["http/1.1"])


def endpoints(name: str, addresses: Sequence[str]) -> Cluster:
    """The part of a cluster that says where it is."""
    return _cluster(name, addresses, 1)


def _cluster(name: str, addresses: Sequence[str], connect_seconds: float) -> Cluster:
    named = any(not one.startswith(UNIX) and not is_ip(one.rpartition(":")[0]) for one in addresses)
    endpoints = [LbEndpoint(endpoint=Endpoint(address=_address(one))) for one in addresses]
    cluster = Cluster(
        name=name,
        type=ClusterDiscoveryType.STRICT_DNS if named else ClusterDiscoveryType.STATIC,
        connect_timeout=timedelta(seconds=connect_seconds),
        per_connection_buffer_limit_bytes=BUFFER_BYTES,
        load_assignment=ClusterLoadAssignment(
            cluster_name=name, endpoints=[LocalityLbEndpoints(lb_endpoints=endpoints)]
        ),
    )
    if named:
        # A name like localhost has two addresses, and often only one of them answers.
        cluster.dns_lookup_family = ClusterDnsLookupFamily.ALL
    return cluster


def _secured(cluster: Cluster, tls: ClientTls | None, directory: Path, protocols: list[str]) -> Built:
    if tls is None:
        return cluster, ()
    made = upstream(tls, cluster.name, directory, protocols)
    cluster.transport_socket = made.socket
    return cluster, made.files


def _address(text: str) -> Address:
    if text.startswith(UNIX):
        return Address(pipe=Pipe(path=text.removeprefix(UNIX)))
    host, _, port = text.rpartition(":")
    return Address(socket_address=SocketAddress(address=host.strip("[]"), port_value=int(port)))
