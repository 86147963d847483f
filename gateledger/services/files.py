"""The files that services.yaml names: are they there, and are they what they should be?

Envoy itself would start without them and serve nothing, or would refuse every handshake; here it is told.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from gateledger.services.model import sections
from gateledger.services.network import ClientTls, ServerTls

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

    from gateledger.services.model import Services

Problem = tuple[tuple[str | int, ...], str]


class _Unusable(Exception):  # noqa: N818 - never leaves this module
    pass


def problems(services: Services) -> Iterator[Problem]:
    """The keys that lead to a file that cannot be used, and why it cannot."""
    for at, section in sections(services):
        for name in type(section).model_fields:
            path = getattr(section, name)
            if name in _CHECKS and path is not None:
                yield from _found((*at, name), path, name)
        if isinstance(section, ServerTls | ClientTls) and section.certificate and section.key:
            yield from _pair(at, section.certificate, section.key)


def _found(at: tuple[str | int, ...], path: Path, name: str) -> Iterator[Problem]:
    try:
        _CHECKS[name](_content(path))
    except _Unusable as error:
        yield at, f"{path}: {error}"


def _pair(at: tuple[str | int, ...], certificate: Path, key: Path) -> Iterator[Problem]:
    try:
        certified, own = _certificate(_content(certificate)), _key(_content(key))
    except _Unusable:
        return
    if _spki(certified) != _spki(own):
        yield (*at, "key"), f"{key}: is not the key of {certificate}; name the two that were made together"


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _Unusable(f"cannot be read: {error.strerror}") from error


def _certificate(content: bytes) -> PublicKeyTypes:
    try:
        return x509.load_pem_x509_certificates(content)[0].public_key()
    except (ValueError, IndexError) as error:
        raise _Unusable("holds no certificate in PEM (-----BEGIN CERTIFICATE-----)") from error


def _key(content: bytes) -> PublicKeyTypes:
    try:
        return serialization.load_pem_private_key(content, password=None).public_key()
    except (TypeError, ValueError) as error:
        raise _Unusable("holds no private key in PEM, or one with a passphrase") from error


def _jwks(content: bytes) -> None:
    try:
        keys = json.loads(content)["keys"]
    except (ValueError, KeyError, TypeError) as error:
        raise _Unusable('is no JWKS: must be JSON like {"keys": [...]}') from error
    if not isinstance(keys, list) or not keys:
        raise _Unusable("has no keys, so every token would be refused")
    if any(isinstance(one, dict) and ({"d", "k"} & set(one)) for one in keys):
        raise _Unusable("holds a private or a shared key: whoever reads it can make tokens; give public keys")


def _spki(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


_CHECKS = {
    "certificate": _certificate,
    "key": _key,
    "ca": _certificate,
    "client_ca": _certificate,
    "jwks_file": _jwks,
}
