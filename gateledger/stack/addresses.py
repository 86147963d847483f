"""The TCP addresses of a stack: free ports where port 0 was asked for, and a clear word where one is taken."""

from __future__ import annotations

import contextlib
import ipaddress
from typing import TYPE_CHECKING

from service.probes import AddressError, bind

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from gateledger.services.model import Services
    from gateledger.settings import Settings

# Section and key of each setting that is a HOST:PORT which the stack listens on.
_LISTENERS = (
    ("envoy", "listen"),
    ("chserver", "listen"),
    ("extauthz", "metrics"),
    ("alslog", "metrics"),
    ("demo", "upstream"),
)


@contextlib.contextmanager
def reserved(services: Services) -> Iterator[Services]:
    """The services with every listener's port 0 replaced by a free one, held while the block runs.

    Raises service.probes.AddressError that names the listener whose address is taken.
    """
    with contextlib.ExitStack() as held:
        listeners = []
        for number, one in enumerate(services.listeners):
            try:
                listener = held.enter_context(bind(one.address))
            except AddressError as error:
                raise AddressError(
                    f"listeners[{number}].address: {error}, or port 0 for any free one"
                ) from error
            address = f"{one.address.rpartition(':')[0]}:{listener.getsockname()[1]}"
            listeners.append(one.model_copy(update={"address": address}))
        yield services.model_copy(update={"listeners": tuple(listeners)})


def settle(settings: Settings, *, demo: bool, gate: bool = True) -> Settings:
    """The settings with every port 0 replaced by a free one, each address tried once.

    `gate`: whether envoy.listen is where the gate listens. Raises service.probes.AddressError that names the setting of an address that is taken.
    """
    embedded = settings.embedded
    wanted = [
        (section, key)
        for section, key in _LISTENERS
        if {"chserver": embedded, "demo": demo, "envoy": gate}.get(section, True)
    ]
    listeners = []
    try:
        for section, key in wanted:
            address: str = getattr(getattr(settings, section), key)
            if demo:
                _refuse_beyond_loopback(address, f"{section}.{key}")
            listener = _bind(address, f"{section}.{key}")
            listeners.append(listener)
            host = address.rpartition(":")[0]
            settings = _with(settings, section, key, f"{host}:{listener.getsockname()[1]}")
    finally:
        # Held until all are found, so that no two get the same port.
        for listener in listeners:
            listener.close()
    return (
        _with(settings, "clickhouse", "url", f"http://{settings.chserver.listen}") if embedded else settings
    )


def _refuse_beyond_loopback(address: str, setting: str) -> None:
    """Whoever holds the demo's issuer key is anyone; its stack is for this machine alone."""
    host = address.rpartition(":")[0].strip("[]")
    if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
        raise AddressError(f"setting {setting}: {address}: --demo listens on loopback alone; use 127.0.0.1")


def _bind(address: str, setting: str) -> socket.socket:
    try:
        return bind(address)
    except AddressError as error:
        variable = f"GATELEDGER_{setting.upper().replace('.', '__')}"
        hint = f"or let it take a free one: {variable}={address.rpartition(':')[0]}:0"
        raise AddressError(f"setting {setting}: {error}, {hint}") from error


def _with(settings: Settings, section: str, key: str, value: object) -> Settings:
    changed = getattr(settings, section).model_copy(update={key: value})
    return settings.model_copy(update={section: changed})
