from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateledger.assets import asset
from gateledger.bootstrap import as_json, endpoints, fill, read
from gateledger.compose import COMPOSE
from gateledger.render.gate import render
from gateledger.render.message import check, plain
from gateledger.services.reading import parse

EXAMPLE = asset("envoy/examples/demo.yaml")
PLACE = replace(
    COMPOSE,
    proxy_host="127.0.0.1",
    jwks_file=str(EXAMPLE.with_name("jwks.json")),
    upstream_type="STATIC",
    upstream_host="127.0.0.1",
    extauthz_endpoints=endpoints(["unix:/run/a.sock"]),
)


def shipped() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(as_json(fill(read(asset("envoy/bootstrap.yaml")), PLACE, "b"), "b"))
    return content


def test_the_demos_description_renders_to_the_bootstrap_that_people_read() -> None:
    services = parse(EXAMPLE.read_text(), EXAMPLE.name, EXAMPLE.parent)

    rendered = render(shipped(), services, Path("/secrets"))

    # Read by Envoy's types, so that a default that is written out equals one that is not.
    assert plain(check(shipped())) == plain(check(rendered.bootstrap))
    assert rendered.secrets == ()
