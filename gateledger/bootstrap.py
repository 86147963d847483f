"""Envoy's bootstrap: the commented template of envoy/bootstrap.yaml filled in for one place.

Pure but for reading the template: the caller writes the result.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import yaml

from gateledger.check_retries import check_retries

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_PLACEHOLDER = re.compile(r"\$\{([a-z_]+)\}")


class BootstrapError(Exception):
    """A bootstrap template that cannot be filled in; the message says where, why and what to do."""


@dataclass(frozen=True, slots=True)
class Place:
    """What differs from place to place. Field names are the template's placeholders, and ${check_retries} follows
    from the endpoints.

    None: the demo's own; a template of one's own names its issuers and upstreams itself.
    """

    node: str
    admin_socket: str
    proxy_host: str
    proxy_port: int
    flush_interval: str
    issuer: str | None
    audience: str | None
    jwks_file: str | None
    upstream_type: str | None
    upstream_host: str | None
    upstream_port: int | None
    extauthz_endpoints: list[dict[str, Any]]
    alslog_endpoints: list[dict[str, Any]]


def endpoints(addresses: Sequence[str]) -> list[dict[str, Any]]:
    """Envoy's lb_endpoints for addresses of the form unix:PATH or HOST:PORT."""
    return [{"endpoint": {"address": _address(address)}} for address in addresses]


def fill(template: str, place: Place, name: str) -> str:
    """The template with each placeholder as a JSON value. `name` says in errors whose template it is.

    Raises BootstrapError for a placeholder that there is no value for.
    """
    values = {key: value for key, value in asdict(place).items() if value is not None}
    values["check_retries"] = check_retries(place.extauthz_endpoints)
    return "\n".join(
        # A comment may speak of placeholders without meaning one.
        line if line.lstrip().startswith("#") else _filled(line, values, f"{name}:{number}")
        for number, line in enumerate(template.split("\n"), start=1)
    )


def as_json(text: str, name: str) -> str:
    """The filled-in bootstrap as JSON, which Envoy reads exactly as written. Raises BootstrapError."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BootstrapError(f"{name}: is not YAML once filled in: {error}") from error
    if not isinstance(content, dict):
        raise BootstrapError(f"{name}: must hold a mapping, but holds a {type(content).__name__}")
    return json.dumps(content, indent=1) + "\n"


def read(path: Path) -> str:
    """The text of a template. Raises BootstrapError."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BootstrapError(f"{path}: cannot be read: {error}; see the setting envoy.bootstrap") from error


def _filled(line: str, values: dict[str, Any], where: str) -> str:
    for match in _PLACEHOLDER.finditer(line):
        if match[1] not in values:
            known = ", ".join(f"${{{name}}}" for name in sorted(values))
            raise BootstrapError(f"{where}: unknown placeholder {match[0]}; known are {known}")
    return _PLACEHOLDER.sub(lambda match: json.dumps(values[match[1]]), line)


def _address(address: str) -> dict[str, Any]:
    if address.startswith("unix:"):
        return {"pipe": {"path": address.removeprefix("unix:")}}
    host, _, port = address.rpartition(":")
    return {"socket_address": {"address": host.strip("[]"), "port_value": int(port)}}
