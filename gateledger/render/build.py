"""A rendered gate for given settings: the shipped bootstrap filled in, and the services' parts in it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from gateledger.assets import asset
from gateledger.bootstrap import BootstrapError, Place, as_json, endpoints, fill, read
from gateledger.demo.issuer import ISSUER
from gateledger.render.gate import Rendered, render

if TYPE_CHECKING:
    from pathlib import Path

    from gateledger.services.model import Services
    from gateledger.settings import Settings


def built(settings: Settings, services: Services, admin_socket: Path, directory: Path) -> Rendered:
    """The gate for the services; the files of its secrets will stand in `directory`. Raises BootstrapError."""
    for place, issuer in enumerate(services.identity.issuers):
        if issuer.issuer == ISSUER:
            raise BootstrapError(
                f"identity.issuers[{place}].issuer: {ISSUER} is the demo's issuer, whose key anyone can make "
                "tokens with; name the issuer of your own tokens"
            )
    template = asset("envoy/bootstrap.yaml")
    filled = as_json(fill(read(template), _place(settings, admin_socket), template.name), template.name)
    return render(json.loads(filled), services, directory)


def _place(settings: Settings, admin_socket: Path) -> Place:
    """Listener, issuer and upstream are the demo's, and replaced in any case."""
    return Place(
        node=settings.envoy.node,
        admin_socket=str(admin_socket),
        proxy_host="127.0.0.1",
        proxy_port=1,
        flush_interval=f"{settings.envoy.flush_seconds:g}s",
        issuer="",
        audience="",
        jwks_file="",
        upstream_type="STATIC",
        upstream_host="127.0.0.1",
        upstream_port=1,
        extauthz_endpoints=endpoints(settings.extauthz.addresses),
        alslog_endpoints=endpoints([settings.alslog.listen]),
    )
