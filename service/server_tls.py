"""TLS of a gRPC service that is reached over TCP: only who shows a certificate of the CA gets in.

The files are read again for a new connection when they have changed, so that certificates can be replaced
while the service runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import grpc
from pydantic import AfterValidator, Field

from service.probes import AddressError
from service.settings import Section

if TYPE_CHECKING:
    from collections.abc import Callable


File = Annotated[Path, AfterValidator(Path.absolute)]


class ServerTls(Section):
    """TLS for addresses of the form HOST:PORT; a unix socket needs none."""

    certificate: File = Field(description="Certificate with its chain, PEM.")
    key: File = Field(description="Its private key, PEM.")
    client_ca: File = Field(
        description="CA that signed the certificate of whoever may connect, PEM: a CA for Envoy alone."
    )


def credentials(tls: ServerTls) -> grpc.ServerCredentials:
    """What a gRPC server asks of its clients, and shows them. Raises AddressError for files that are not there."""
    try:
        first = _read(tls)
    except OSError as error:
        raise AddressError(
            f"{error.filename}: cannot be read: {error.strerror}; see the setting tls"
        ) from error
    fetch = _fetcher(tls, first)
    return grpc.dynamic_ssl_server_credentials(
        _configuration(first),
        fetch,  # type: ignore[arg-type] # None is "as before" to grpcio; its types do not say so
        require_client_authentication=True,
    )


def _fetcher(
    tls: ServerTls, first: tuple[bytes, ...]
) -> Callable[[], grpc.ServerCertificateConfiguration | None]:
    shown = first

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        nonlocal shown
        try:
            found = _read(tls)
        except OSError:
            # Half replaced, or gone: what was good goes on being shown.
            return None
        if found == shown:
            return None
        shown = found
        return _configuration(found)

    return fetch


def _read(tls: ServerTls) -> tuple[bytes, bytes, bytes]:
    return tls.certificate.read_bytes(), tls.key.read_bytes(), tls.client_ca.read_bytes()


def _configuration(files: tuple[bytes, ...]) -> grpc.ServerCertificateConfiguration:
    certificate, key, ca = files
    return grpc.ssl_server_certificate_configuration([(key, certificate)], root_certificates=ca)
