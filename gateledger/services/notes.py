"""What works, and whoever runs it should know: told at the start, refused never."""

from __future__ import annotations

import ipaddress
import stat
from typing import TYPE_CHECKING

from gateledger.services.model import sections

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateledger.services.model import Services

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def notes(services: Services) -> Iterator[str]:
    """Sentences about a description that can be used as it is."""
    for number, one in enumerate(services.listeners):
        if one.tls is None and not _loopback(one.address):
            yield (
                f"listeners[{number}]: {one.address} is plain text beyond this machine: whoever is on the way reads "
                "tokens and keys, and can use them; give it tls, unless something before it does"
            )
    asks = any(one.tls and one.tls.client_ca for one in services.listeners)
    for service in services.services:
        if service.accepts == ("mtls",) and not asks:
            yield f"services: {service.name} takes certificates alone, and no listener asks for them (tls.client_ca)"
    yield from (
        f"{path}: others of this machine can read this private key; chmod 600 it"
        for path in _open_keys(services)
    )


def _loopback(address: str) -> bool:
    return ipaddress.ip_address(address.rpartition(":")[0].strip("[]")).is_loopback


def _open_keys(services: Services) -> Iterator[Path]:
    keys = {key for _, section in sections(services) if (key := getattr(section, "key", None)) is not None}
    for key in sorted(keys):
        try:
            if key.stat().st_mode & _OTHERS:
                yield key
        except OSError:
            continue
