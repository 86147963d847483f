"""What services.yaml may say. Pure; docs/services.md has the reference, made from these definitions.

Envoy's bootstrap and extauthz's identity settings are both derived from one such description, so that they
cannot disagree.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Self

from pydantic import Field, field_validator, model_validator

from extauthz.identity_settings import IdentitySettings, Issuer, Sources
from gateledger.services.network import (
    SYSTEM_CA,
    ClientTls,
    File,
    Host,
    Listener,
    Upstream,
    UpstreamAddress,
    Url,
)
from service.settings import Section

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_PATH = re.compile(r"/(?:[A-Za-z0-9._~-]+(?:/[A-Za-z0-9._~-]+)*/?)?")


class JwksServer(Section):
    """Where an issuer publishes its keys. Envoy fetches them at its start, and again before they get old."""

    uri: Url = Field(description="URL of the key set, https://…; http://… on this machine only.")
    ca: File = Field(SYSTEM_CA, description="CA certificates that its server is verified by, PEM.")
    timeout_seconds: float = Field(5, gt=0, description="Seconds that a fetch may take.")
    cache_seconds: int = Field(300, ge=1, description="Seconds after which the keys are fetched again.")


class TokenIssuer(Issuer):
    """A token issuer: what Envoy verifies of its tokens, and what their claims mean to the policy."""

    issuer: str = Field(min_length=1, description="The claim iss of its tokens, exactly.")
    audiences: tuple[str, ...] = Field(
        min_length=1, description="Values of the claim aud, of which a token must have one."
    )
    jwks_file: File | None = Field(None, description="Its public keys, a JWKS file; or else jwks_server.")
    jwks_server: JwksServer | None = Field(None, description="Its public keys, fetched; or else jwks_file.")
    clock_skew_seconds: int = Field(
        10, ge=0, le=300, description="Seconds that its clock and this one may differ. A token must expire."
    )

    @field_validator("name")
    @classmethod
    def _plain(cls, name: str) -> str:
        return _plain_name(name)

    @model_validator(mode="after")
    def _one_key_set(self) -> Self:
        if (self.jwks_file is None) == (self.jwks_server is None):
            raise ValueError("needs its public keys: one of jwks_file and jwks_server")
        return self


class Identity(Sources):
    """Who may call: tokens, client certificates, API keys, and which one names the subject."""

    issuers: tuple[TokenIssuer, ...] = Field((), description="Token issuers.")


class Service(Section):
    """One service, as the policy names it, and where it is."""

    name: str = Field(description="The name that the policy and the ledger know it by.")
    upstream: str = Field(description="Where it is: the name of an upstream.")
    hosts: tuple[Host, ...] | None = Field(
        None,
        min_length=1,
        description="Names that it answers to, exact or *.example.com. Default: any host.",
    )
    paths: tuple[str, ...] = Field(
        ("/",),
        min_length=1,
        description="Path prefixes, by whole segments: /orders is /orders and /orders/…; one that ends with a "
        "slash, such as /orders.v1.Orders/, takes only what is below it. The longest prefix wins.",
    )
    timeout_seconds: float = Field(
        15, ge=0, description="Seconds that the upstream has for a whole answer; 0: no limit."
    )
    websocket: bool = Field(
        False, description="Whether WebSockets may be opened; decided once, at the handshake."
    )
    websocket_idle_seconds: float = Field(
        3600, gt=0, description="Seconds without a byte after which a WebSocket is closed."
    )
    accepts: tuple[str, ...] | None = Field(
        None,
        description="Credentials that it takes: jwt, jwt:ISSUER, mtls, api_key. Others are refused here. "
        "Default: all. Whether anonymous may call is the policy's word.",
    )

    @field_validator("name")
    @classmethod
    def _plain(cls, name: str) -> str:
        return _plain_name(name)

    @field_validator("paths")
    @classmethod
    def _prefixes(cls, paths: tuple[str, ...]) -> tuple[str, ...]:
        for path in paths:
            if not _PATH.fullmatch(path) or {".", ".."} & set(path.split("/")):
                raise ValueError(
                    f"{path!r} is no plain path: it begins with a slash, and its segments are letters, digits, "
                    "and . _ ~ - only"
                )
        return paths


class Peer(Section):
    """How Envoy reaches one of gateledger's two services. Without tls: a unix socket, or a private network."""

    addresses: tuple[UpstreamAddress, ...] = Field(
        (), description="unix:/PATH or HOST:PORT each. Default: where this machine's one listens."
    )
    tls: ClientTls | None = Field(None, description="TLS with a client certificate, for TCP.")


class Limits(Section):
    """What the gate bears before it refuses."""

    connections: int = Field(20_000, ge=1, description="Connections of clients at a time.")
    heap_mib: int = Field(1024, ge=64, description="Memory of Envoy, in MiB; near it requests are refused.")
    headers: int = Field(100, ge=10, le=1000, description="Header lines of a request.")
    headers_kib: int = Field(60, ge=4, le=8192, description="Size of a request's headers, in KiB.")


class Services(Section):
    """All of services.yaml."""

    services: tuple[Service, ...] = Field(min_length=1, description="Your services.")
    upstreams: tuple[Upstream, ...] = Field(min_length=1, description="Where they are.")
    listeners: tuple[Listener, ...] = Field(
        (Listener(),), min_length=1, description="Where the gate listens."
    )
    identity: Identity = Field(Identity(), description="Who may call.")
    limits: Limits = Field(Limits(), description="What the gate bears.")
    extauthz: Peer = Field(Peer(), description="How Envoy reaches extauthz.")
    alslog: Peer = Field(Peer(), description="How Envoy reaches alslog.")

    @model_validator(mode="after")
    def _names_apart(self) -> Self:
        for what, names in (
            ("services", [one.name for one in self.services]),
            ("upstreams", [one.name for one in self.upstreams]),
            ("listeners", [one.address for one in self.listeners if not one.address.endswith(":0")]),
        ):
            if twice := next((name for name in names if names.count(name) > 1), None):
                raise ValueError(f"{what}: {twice!r} is there twice; each needs its own")
        known = {one.name for one in self.upstreams}
        for service in self.services:
            if service.upstream not in known:
                raise ValueError(
                    f"services: {service.name}: there is no upstream {service.upstream!r}; "
                    f"known are {', '.join(sorted(known))}"
                )
        return self

    @model_validator(mode="after")
    def _routes_apart(self) -> Self:
        for one, other in itertools.combinations(self.services, 2):
            hosts = set(one.hosts or ("*",)) & set(other.hosts or ("*",))
            if hosts and (paths := set(one.paths) & set(other.paths)):
                raise ValueError(
                    f"services: {one.name!r} and {other.name!r} both claim {min(paths)} of host {min(hosts)}"
                )
        return self

    @model_validator(mode="after")
    def _identity_is_sound(self) -> Self:
        identity_settings(self)
        if self.identity.client_certificates and not any(
            one.tls and one.tls.client_ca for one in self.listeners
        ):
            raise ValueError(
                "identity: client_certificates: no listener asks for certificates; give one tls.client_ca"
            )
        return self


def identity_settings(services: Services) -> IdentitySettings:
    """What extauthz has to know of the description. Raises ValueError where it is not sound."""
    sources = services.identity
    return IdentitySettings(
        issuers=tuple(
            Issuer(**{name: getattr(one, name) for name in Issuer.model_fields}) for one in sources.issuers
        ),
        client_certificates=sources.client_certificates,
        api_keys=sources.api_keys,
        precedence=sources.precedence,
        accepts={one.name: one.accepts for one in services.services if one.accepts is not None},
    )


def sections(section: Section) -> Iterator[tuple[tuple[str | int, ...], Section]]:
    """Every section of the description with the keys that lead to it, itself first."""
    yield (), section
    for name in type(section).model_fields:
        value = getattr(section, name)
        for place, one in enumerate(value) if isinstance(value, tuple) else [(None, value)]:
            if isinstance(one, Section):
                at = (name,) if place is None else (name, place)
                yield from (((*at, *inside), found) for inside, found in sections(one))


def _plain_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("must be letters, digits and . _ - only, at most 64, such as orders")
    return name
