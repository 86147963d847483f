"""Subjects from client certificates that the listener verified against its CA. Pure.

Envoy's `source.principal` is not used: it does not say which kind of name it is, and takes the first of several.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from cryptography import x509

from access import AuthMethod, Subject
from extauthz.identity_jwt import Found
from extauthz.identity_name import Refused, filled

if TYPE_CHECKING:
    from extauthz.identity_settings import ClientCertificates

_KEPT = 1024
_MAX_ISSUER = 256


@dataclass(frozen=True, slots=True)
class Names:
    """What a certificate says of its holder and its issuer."""

    uri: tuple[str, ...]
    dns: tuple[str, ...]
    subject: tuple[str, ...]
    issuer: str


def found(certificate: str, settings: ClientCertificates) -> Found:
    """From the certificate as Envoy sends it, URL-encoded PEM."""
    issuer = ""
    try:
        names = _names(certificate)
        issuer = names.issuer
        name = filled(settings.subject, lambda kind: _only(names, kind))
    except Refused as refused:
        unknown = Subject("", auth_method=AuthMethod.MTLS, issuer=issuer)
        return Found(unknown, f"client certificate: {refused}")
    return Found(Subject(name, (), AuthMethod.MTLS, issuer))


def _only(names: Names, kind: str) -> str:
    """The one name of a kind: of several, the first would be a guess about which one was meant."""
    values: tuple[str, ...] = getattr(names, kind)
    if len(values) != 1:
        what = {"uri": "URI name", "dns": "DNS name", "subject": "subject"}[kind]
        raise Refused(f"it has {len(values) or 'no'} {what}{'s' * (len(values) > 1)}, where one is wanted")
    return values[0]


@functools.lru_cache(_KEPT)
def _names(certificate: str) -> Names:
    # A client shows the same certificate with each request; reading one takes some tens of microseconds.
    try:
        read = x509.load_pem_x509_certificate(unquote_to_bytes(certificate))
        subject = read.subject.rfc4514_string()
        issuer = read.issuer.rfc4514_string()[:_MAX_ISSUER]
        try:
            extension = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            uris, hosts = [], []
        else:
            uris = extension.get_values_for_type(x509.UniformResourceIdentifier)
            hosts = extension.get_values_for_type(x509.DNSName)
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise Refused("it cannot be read") from error
    return Names(tuple(uris), tuple(hosts), (subject,) if subject else (), issuer)
