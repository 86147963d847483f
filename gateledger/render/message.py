"""envoy-data-plane's messages to plain data and back; a bootstrap is checked against them here. Pure."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from betterproto2 import Casing
from envoy_data_plane.envoy.config.bootstrap.v3 import Bootstrap
from envoy_data_plane.google.protobuf import Any as Packed
from pydantic import ValidationError

from gateledger.bootstrap import BootstrapError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from betterproto2 import Message

_PREFIX = "type.googleapis.com/"


class RenderError(BootstrapError):
    """A bootstrap that Envoy's types refuse; the message says where and why."""


def plain(message: Message) -> dict[str, Any]:
    """A message as Envoy reads it from JSON, names as in Envoy's documentation."""
    content: dict[str, Any] = message.to_dict(casing=Casing.SNAKE)
    return content


def packed(message: Message) -> Packed:
    """A message where Envoy wants a typed_config."""
    return Packed.pack(message)


def check(bootstrap: Mapping[str, Any]) -> Bootstrap:
    """The bootstrap as a message. Raises RenderError for a field that its type does not know, or of another kind."""
    for name in sorted(set(_types(bootstrap))):
        _load(name)
    try:
        return Bootstrap.from_dict(dict(bootstrap))
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(str(part) for part in first["loc"])
        raise RenderError(f"Envoy's {error.title}: {at}: {first['msg']}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise RenderError(f"Envoy's types refuse it: {error.args[0] if error.args else error}") from error


def _load(name: str) -> None:
    """Make a type known to the library, which knows those of imported modules only."""
    module = name.removeprefix(_PREFIX).rpartition(".")[0]
    if not name.startswith(f"{_PREFIX}envoy."):
        raise RenderError(f"{name}: is no type of Envoy's")
    try:
        importlib.import_module(f"envoy_data_plane.{module}")
    except ImportError as error:
        raise RenderError(f"{name}: envoy-data-plane does not know this type") from error


def _types(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("@type"), str):
            yield node["@type"]
        for value in node.values():
            yield from _types(value)
    elif isinstance(node, list):
        for value in node:
            yield from _types(value)
