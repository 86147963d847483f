"""envoy/docker-compose.yaml: the bootstrap filled in for docker-compose.yml, comments kept.

`python -m gateledger.compose` prints it; `make compose` writes it, and a test holds the two equal.
"""

from __future__ import annotations

import dataclasses
import sys

import yaml

from extauthz.addresses import of_all
from gateledger.assets import asset
from gateledger.bootstrap import Place, endpoints, fill, read
from gateledger.demo.issuer import AUDIENCE, ISSUER

SOCKETS = "/run/gateledger"
JWKS = "/var/lib/jwks"
COMPOSE = Place(
    node="gateledger-compose",
    admin_socket="/tmp/envoy-admin.sock",  # noqa: S108 - a tmpfs of the container
    proxy_host="0.0.0.0",  # noqa: S104 - the container's own network; docker-compose.yml publishes it on loopback
    proxy_port=10000,
    flush_interval="0.02s",
    issuer=ISSUER,
    audience=AUDIENCE,
    jwks_file=f"{JWKS}/jwks.json",
    upstream_type="STRICT_DNS",
    upstream_host="upstream",
    upstream_port=8080,
    extauthz_endpoints=[],
    alslog_endpoints=endpoints([f"unix:{SOCKETS}/alslog.sock"]),
)


def workers_in(compose: str) -> int:
    """How many processes of extauthz docker-compose.yml asks for."""
    environment = yaml.safe_load(compose)["services"]["extauthz"]["environment"]
    return int(environment.get("GATELEDGER_EXTAUTHZ__WORKERS", 1))


def place(workers: int) -> Place:
    """What differs in docker-compose.yml, with so many processes of extauthz."""
    sockets = of_all([f"unix:{SOCKETS}/extauthz.sock"], workers)
    return dataclasses.replace(COMPOSE, extauthz_endpoints=endpoints(sockets))


def rendered() -> str:
    """The text of envoy/docker-compose.yaml."""
    template = asset("envoy/bootstrap.yaml")
    here = place(workers_in(read(asset("docker-compose.yml"))))
    head = "# Made by `make compose` from envoy/bootstrap.yaml: change that file, not this one.\n"
    return head + fill(read(template), here, template.name)


if __name__ == "__main__":
    sys.stdout.write(rendered())
