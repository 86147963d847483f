"""Routes of a bootstrap that lead on without saying whose they are. Pure.

extauthz knows the service from the route's metadata alone, and the second lock behind it asks for a decision only
where that metadata is: a route without it leads on with neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateledger.gate_parts import objects

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# As in extauthz.wire, which reads it.
NAMESPACE = "gateledger"
KEY = "service"


def route_problems(manager: Mapping[str, Any]) -> Iterator[str]:
    """A sentence for each route to an upstream that names no service. Routes that Envoy is given later are not seen."""
    for place, route in enumerate(_leading_on(manager), start=1):
        if not _service(route):
            name = f"route {route['name']!r}" if route.get("name") else f"route number {place}"
            yield (
                f"{name} leads to an upstream, but names no service: set its "
                f"metadata.filter_metadata.{NAMESPACE}.{KEY}, by which policy and second lock know it"
            )


def _leading_on(node: object) -> Iterator[Mapping[str, Any]]:
    """Every route with an upstream, wherever it stands. Redirects and answers of Envoy's own lead nowhere."""
    for one in objects(node):
        if isinstance(one.get("match"), dict) and isinstance(one.get("route"), dict):
            yield one


def _service(route: Mapping[str, Any]) -> bool:
    """Whether the route names one: a text, and not an empty one."""
    found: object = route.get("metadata")
    for key in ("filter_metadata", NAMESPACE, KEY):
        found = found.get(key) if isinstance(found, dict) else None
    return isinstance(found, str) and found != ""
