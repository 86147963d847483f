"""Addresses, TLS and listeners, as services.yaml has them. Pure."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from service.settings import IpAddress, Section

UNIX = "unix:"
# Envoy's own word for the system's certificates, system_root_certs, is taken and not acted on (probed on 1.40): with
# it alone any certificate would do.
SYSTEM_CA = Path("/etc/ssl/certs/ca-certificates.crt")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_DNS = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62})(?:\.[A-Za-z0-9_-]{1,63})*")
_HOST = re.compile(r"(?:\*\.)?[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_])?")


def _file(path: Path, info: ValidationInfo) -> Path:
    base = (info.context or {}).get("base")
    return (base / path) if base else path


def _host(name: str) -> str:
    name = name.lower().removesuffix(".")
    if not _HOST.fullmatch(name):
        raise ValueError("must be a host name without port, such as api.example.com or *.example.com")
    return name


def _address(text: str) -> str:
    if text.startswith(UNIX):
        if not text.startswith(f"{UNIX}/"):
            raise ValueError("must be unix:/PATH, an absolute path")
        return text
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or not 0 < int(port) <= 65535 or not (is_ip(host) or _DNS.fullmatch(host)):
        raise ValueError("must be HOST:PORT, such as 10.0.0.5:8080, or unix:/PATH")
    return text


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ValueError("is no URL") from error
    host = parts.hostname or ""
    if parts.scheme not in {"http", "https"} or not host or parts.username or port == 0:
        raise ValueError("must be a URL such as https://issuer.example.com/jwks.json, without a user in it")
    if (
        parts.scheme == "http"
        and host != "localhost"
        and not (is_ip(host) and ipaddress.ip_address(host).is_loopback)
    ):
        raise ValueError("must be https: whoever is on the way could put keys of their own in")
    return text


File = Annotated[Path, AfterValidator(_file)]
"""A file, relative to the directory of services.yaml."""
Host = Annotated[str, AfterValidator(_host)]
"""A host name, in lower case; may begin with a wildcard label."""
UpstreamAddress = Annotated[str, AfterValidator(_address)]
"""HOST:PORT or unix:/PATH."""
Url = Annotated[str, AfterValidator(_url)]
"""An https URL, or an http one of this machine."""


def is_ip(host: str) -> bool:
    """Whether a host is an IP address, an IPv6 one in brackets."""
    try:
        ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


class ClientTls(Section):
    """TLS as a client: whom to expect, and who one is oneself. Certificates are read again when they change."""

    sni: str = Field(description="The name that is asked for, and verified unless san says otherwise.")
    ca: File = Field(SYSTEM_CA, description="CA certificates that it is verified by, PEM.")
    san: tuple[str, ...] = Field(
        (),
        description="Names of which its certificate must have one: DNS names, IP addresses or URIs. Default: sni.",
    )
    certificate: File | None = Field(None, description="Client certificate to show, PEM; with key.")
    key: File | None = Field(None, description="Its private key, PEM.")

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together")
        return self


class Upstream(Section):
    """Where one or more services are."""

    name: str = Field(description="Its name: `upstream_cluster` in the ledger.")
    addresses: tuple[UpstreamAddress, ...] = Field(
        min_length=1, description="HOST:PORT or unix:/PATH each; requests are spread over them."
    )
    protocol: Literal["h1", "h2"] = Field("h1", description="h1: HTTP/1.1; h2: HTTP/2, which gRPC needs.")
    tls: ClientTls | None = Field(None, description="TLS to it. Default: plain text.")
    connect_timeout_seconds: float = Field(1, gt=0, description="Seconds that a connection may take.")

    @field_validator("name")
    @classmethod
    def _named(cls, name: str) -> str:
        if not _NAME.fullmatch(name) or name in {"extauthz", "alslog"}:
            raise ValueError("must be letters, digits, _ and - only, and neither extauthz nor alslog")
        return name

    @model_validator(mode="after")
    def _of_one_kind(self) -> Self:
        if any(one.startswith(UNIX) for one in self.addresses) and any(map(_needs_dns, self.addresses)):
            raise ValueError("addresses: unix sockets and host names cannot be mixed; use IP addresses")
        return self

    @property
    def needs_dns(self) -> bool:
        return any(map(_needs_dns, self.addresses))


class ServerTls(Section):
    """TLS of a listener, 1.2 at least. The files are read again when they are replaced by renaming."""

    certificate: File = Field(description="Certificate with its chain, PEM.")
    key: File = Field(description="Its private key, PEM, in the same directory.")
    client_ca: File | None = Field(
        None, description="CA certificates of clients, PEM. Default: none are asked for certificates."
    )
    client_certificate: Literal["optional", "required"] = Field(
        "optional",
        description="With client_ca: whether a client may come without one. A bad one never passes.",
    )
    minimum: Literal["1.2", "1.3"] = Field("1.2", description="Lowest version of TLS.")

    @model_validator(mode="after")
    def _one_directory(self) -> Self:
        if self.certificate.parent != self.key.parent:
            raise ValueError("certificate and key must stand in one directory, which is watched for changes")
        if self.client_certificate == "required" and self.client_ca is None:
            raise ValueError("client_certificate: required needs a client_ca, or any certificate would do")
        return self


class Listener(Section):
    """Where the gate listens."""

    address: IpAddress = Field("127.0.0.1:10000", description="IP:PORT; port 0: any free one.")
    tls: ServerTls | None = Field(
        None, description="TLS. Default: plain text, for this machine or behind a proxy."
    )
    trusted_hops: int = Field(
        0,
        ge=0,
        le=10,
        description="Number of proxies of your own before this listener, whose X-Forwarded-For is believed.",
    )
    connection_seconds: float = Field(
        3600,
        gt=0,
        description="Seconds after which a connection is closed once its requests are answered; with client "
        "certificates also how long one that expired is of use.",
    )


def _needs_dns(address: str) -> bool:
    return not address.startswith(UNIX) and not is_ip(address.rpartition(":")[0])
