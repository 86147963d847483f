"""A running stack in front of a recording upstream: the shipped bootstrap with upstreams of the test's own."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from recording_upstream import RecordingUpstream
from stack_process import StackProcess, eventually

from gateledger.assets import asset
from gateledger.bootstrap import read
from gateledger.demo.issuer import AUDIENCE, ISSUER, DemoIssuer

HTTP2_CLUSTER = """
    - name: upstream-http2
      type: STATIC
      connect_timeout: 1s
      typed_extension_protocol_options:
        envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
          "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
          explicit_http_config: {http2_protocol_options: {}}
      load_assignment:
        cluster_name: upstream-http2
        endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: PORT}}}}]}]
"""
# The sample's gRPC route, and a part of orders, lead to HTTP/2; another part serves WebSocket.
HTTP2_ROUTE = """\
                        - name: orders-http2
                          match: {prefix: /orders/http2}
                          route: {cluster: upstream-http2, timeout: 15s}
                          metadata: {filter_metadata: {gateledger: {service: orders}}}
                        - name: orders-socket
                          match: {path: /orders/socket}
                          route: {cluster: upstream, timeout: 0s, upgrade_configs: [{upgrade_type: websocket}]}
                          metadata: {filter_metadata: {gateledger: {service: orders}}}
"""


def replaced(text: str, old: str, new: str) -> str:
    """The text with its one `old` replaced: a template that has changed is noticed here."""
    assert text.count(old) == 1, f"{text.count(old)} times in the bootstrap: {old}"
    return text.replace(old, new)


def template(port: int, jwks: Path) -> str:
    """envoy/bootstrap.yaml with the recording upstream in the place of the demo's."""
    text = read(asset("envoy/bootstrap.yaml"))
    for placeholder, value in {
        "${issuer}": ISSUER,
        "${audience}": AUDIENCE,
        "${jwks_file}": str(jwks),
        "${upstream_type}": "STATIC",
        "${upstream_host}": "127.0.0.1",
        "${upstream_port}": port,
    }.items():
        text = replaced(text, placeholder, json.dumps(value))
    grpc = "match: {prefix: /orders.v1.Orders/}\n                          route: {cluster: upstream,"
    text = replaced(text, grpc, grpc.replace("upstream,", "upstream-http2,"))
    first = "                        - name: orders\n                          match: {path_separated_prefix: /orders}\n"
    text = replaced(text, first, HTTP2_ROUTE + first)
    return replaced(
        text,
        "\n    - name: extauthz\n",
        HTTP2_CLUSTER.replace("PORT", str(port)) + "\n    - name: extauthz\n",
    )


@dataclass
class HostileStack:
    """The stack, its upstream, and its issuer's keys."""

    stack: StackProcess
    upstream: RecordingUpstream
    issuer: DemoIssuer
    policy: Path

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.stack.proxy.rpartition(":")
        return host, int(port)

    def token(self, subject: str, *roles: str, ttl: float = 3600) -> str:
        return self.issuer.token(subject, roles, time.time(), ttl)

    def counters(self, pattern: str) -> dict[str, int]:
        """Envoy's own counters."""
        transport = httpx.HTTPTransport(uds=self.stack.ready["envoy_admin"].removeprefix("unix:"))
        with httpx.Client(transport=transport, base_url="http://envoy-admin") as client:
            text = client.get("/stats", params={"filter": pattern}).text
        lines = (line.rpartition(": ") for line in text.splitlines())
        return {name: int(value) for name, _, value in lines if value.isdecimal()}

    def settled(self) -> None:
        """Return when every connection has ended and every row of those before is stored.

        Envoy has one worker here, and so one stream of entries: what was logged before the last request is
        stored before it.
        """
        eventually(
            lambda: not any(self.counters(r"^http\.gate\.downstream_cx_active$").values()),
            "all connections end",
        )
        last = self.stack.ask("/orders/health", headers={"user-agent": "last"})
        self.stack.row(last.headers["x-request-id"])


@contextmanager
def hostile_stack(base: Path, adapt: Callable[[str], str] = str) -> Iterator[HostileStack]:
    """The stack in base/home, with a policy of its own in base/policy.csv. `adapt` changes the bootstrap."""
    issuer = DemoIssuer(base / "issuer")
    issuer.ensure()
    with RecordingUpstream() as upstream:
        bootstrap = base / "bootstrap.yaml"
        bootstrap.write_text(adapt(template(upstream.port, issuer.jwks_file)))
        policy = base / "policy.csv"
        policy.write_bytes(asset("policies/policy.csv").read_bytes())
        named: list[dict[str, Any]] = [{"name": "demo", "roles": ["*"]}]
        settings = {
            "GATELEDGER_ENVOY__BOOTSTRAP": str(bootstrap),
            "GATELEDGER_EXTAUTHZ__ISSUERS": json.dumps(named),
            "GATELEDGER_EXTAUTHZ__POLICY": str(policy),
        }
        with StackProcess(base / "home", settings, arguments=()) as stack:
            yield HostileStack(stack, upstream, issuer, policy)
