"""What every section of the settings has in common: immutable, strict about unknown keys, documented."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict


class Section(BaseModel):
    """One section of gateledger.yaml. Every field has a default, and a description that names its unit."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


def _address(text: str) -> str:
    """HOST:PORT; HOST a name, an IPv4 address, or an IPv6 address in brackets."""
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isdigit() and int(port) <= 65535):
        raise ValueError("must be HOST:PORT, such as 127.0.0.1:9464 (port 0: any free one)")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise ValueError("an IPv6 address stands in brackets: [::1]:9464")
    return text


def _ip_address(text: str) -> str:
    host = _address(text).rpartition(":")[0]
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError as error:
        raise ValueError(f"{host} is no IP address; Envoy resolves no names for a listener") from error
    return text


Address = Annotated[str, AfterValidator(_address)]
"""A TCP address, HOST:PORT."""

IpAddress = Annotated[str, AfterValidator(_ip_address)]
"""A TCP address whose host is an IP address."""
