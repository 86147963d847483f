"""HOME/run/envoy.json: filled in or rendered, and judged before anything starts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from gateledger import bootstrap
from gateledger.bootstrap import BootstrapError
from gateledger.demo.issuer import AUDIENCE, ISSUER
from gateledger.files import write_private
from gateledger.gate_lint import problems
from gateledger.stack.programs import envoy_binary
from gateledger.validation import refusal

if TYPE_CHECKING:
    from pathlib import Path

    from gateledger.services.model import Services
    from gateledger.settings import Settings
    from gateledger.stack.home import Home


def write_bootstrap(
    settings: Settings, home: Home, services: Services | None, demo_jwks: Path | None
) -> None:
    """The bootstrap for the services, or for the template that the settings name. Raises BootstrapError.

    `demo_jwks`: the demo issuer's public keys, where the demo runs.
    """
    name = _render(settings, home, services) if services else _fill(settings, home, demo_jwks)
    if why := refusal(envoy_binary(settings), home.bootstrap_file):
        raise BootstrapError(f"{name}: Envoy refuses it: {why}")
    written = json.loads(home.bootstrap_file.read_text(encoding="utf-8"))
    if open_ends := problems(written, settings.extauthz):
        raise BootstrapError("\n".join(f"{name}: {problem}" for problem in open_ends))


def _render(settings: Settings, home: Home, services: Services) -> str:
    from gateledger.render.build import built  # noqa: PLC0415 - half a second of types
    from gateledger.render.written import Beside, as_bytes, write_secrets  # noqa: PLC0415 - as above

    beside = Beside(home.bootstrap_file)
    gate = built(settings, services, home.admin_socket, beside.secrets)
    write_secrets(beside.secrets, gate.secrets)
    write_private(home.bootstrap_file, as_bytes(gate.bootstrap))
    return "--services"


def _fill(settings: Settings, home: Home, demo_jwks: Path | None) -> str:
    template = settings.envoy.bootstrap
    if template is None:
        raise BootstrapError(
            "nothing to guard: describe your services with --services FILE (docs/services.md), name a "
            "bootstrap of your own in the setting envoy.bootstrap, or try `gateledger up --demo`"
        )
    text = bootstrap.fill(bootstrap.read(template), _place(settings, home, demo_jwks), str(template))
    write_private(home.bootstrap_file, bootstrap.as_json(text, str(template)).encode())
    return str(template)


def _place(settings: Settings, home: Home, demo_jwks: Path | None) -> bootstrap.Place:
    proxy_host, _, proxy_port = settings.envoy.listen.rpartition(":")
    upstream_host, _, upstream_port = settings.demo.upstream.rpartition(":")
    return bootstrap.Place(
        node=settings.envoy.node,
        admin_socket=str(home.admin_socket),
        proxy_host=proxy_host.strip("[]"),
        proxy_port=int(proxy_port),
        flush_interval=f"{settings.envoy.flush_seconds:g}s",
        issuer=ISSUER if demo_jwks else None,
        audience=AUDIENCE if demo_jwks else None,
        jwks_file=str(demo_jwks) if demo_jwks else None,
        upstream_type="STATIC" if demo_jwks else None,
        upstream_host=upstream_host if demo_jwks else None,
        upstream_port=int(upstream_port) if demo_jwks else None,
        extauthz_endpoints=bootstrap.endpoints(settings.extauthz.addresses),
        alslog_endpoints=bootstrap.endpoints([settings.alslog.listen]),
    )
