"""TLS of listeners and upstreams, with certificates that Envoy reads again when their files are replaced. Pure.

Envoy reloads certificates of secrets only, so each one stands in a secret's file of its own that is beside the
bootstrap and names the certificate's files and the directory to watch.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from envoy_data_plane.envoy.config.core.v3 import (
    ApiVersion,
    ConfigSource,
    DataSource,
    PathConfigSource,
    TransportSocket,
    WatchedDirectory,
)
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import (
    CertificateValidationContext,
    CommonTlsContext,
    DownstreamTlsContext,
    SdsSecretConfig,
    Secret,
    SubjectAltNameMatcher,
    SubjectAltNameMatcherSanType,
    TlsCertificate,
    TlsParameters,
    TlsParametersTlsProtocol,
    UpstreamTlsContext,
)
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher

from gateledger.render.message import packed, plain

if TYPE_CHECKING:
    from pathlib import Path

    from gateledger.services.network import ClientTls, ServerTls

SOCKET = "envoy.transport_sockets.tls"
_SECRET = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"  # noqa: S105 - a type's name
_MINIMUM = {"1.2": TlsParametersTlsProtocol.TLSv1_2, "1.3": TlsParametersTlsProtocol.TLSv1_3}


@dataclass(frozen=True, slots=True)
class SecretFile:
    """A file for Envoy that names certificates. It holds no key itself."""

    path: Path
    content: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Socket:
    """A transport socket, and the files that it names."""

    socket: TransportSocket
    files: tuple[SecretFile, ...]


def downstream(tls: ServerTls, name: str, directory: Path) -> Socket:
    """TLS of the listener `name`, its secrets in `directory`."""
    files = [_certificate(f"{name}.certificate", tls.certificate, tls.key, directory)]
    common = CommonTlsContext(
        tls_params=TlsParameters(tls_minimum_protocol_version=_MINIMUM[tls.minimum]),
        tls_certificate_sds_secret_configs=[_source(files[0])],
        alpn_protocols=["h2", "http/1.1"],
    )
    if tls.client_ca:
        files.append(_validation(f"{name}.clients", tls.client_ca, (), directory))
        common.validation_context_sds_secret_config = _source(files[-1])
    context = DownstreamTlsContext(
        common_tls_context=common, require_client_certificate=tls.client_certificate == "required"
    )
    if tls.client_ca:
        # A session that is resumed brings its certificate along, which nobody looks at again: an expired one
        # stayed good for as long as its client went on to resume. Whole handshakes only, then.
        context.disable_stateless_session_resumption = True
        context.disable_stateful_session_resumption = True
    return Socket(TransportSocket(name=SOCKET, typed_config=packed(context)), tuple(files))


def upstream(tls: ClientTls, name: str, directory: Path, protocols: list[str]) -> Socket:
    """TLS to the cluster `name`: its certificate is verified, by name too."""
    files = [_validation(f"{name}.ca", tls.ca, tls.san or (tls.sni,), directory)]
    common = CommonTlsContext(
        tls_params=TlsParameters(
            tls_minimum_protocol_version=TlsParametersTlsProtocol.TLSv1_2,
            tls_maximum_protocol_version=TlsParametersTlsProtocol.TLSv1_3,
        ),
        alpn_protocols=protocols,
        validation_context_sds_secret_config=_source(files[0]),
    )
    if tls.certificate and tls.key:
        files.append(_certificate(f"{name}.certificate", tls.certificate, tls.key, directory))
        common.tls_certificate_sds_secret_configs = [_source(files[-1])]
    context = UpstreamTlsContext(common_tls_context=common, sni=tls.sni)
    return Socket(TransportSocket(name=SOCKET, typed_config=packed(context)), tuple(files))


def _certificate(name: str, certificate: Path, key: Path, directory: Path) -> SecretFile:
    content = TlsCertificate(
        certificate_chain=DataSource(filename=str(certificate)),
        private_key=DataSource(filename=str(key)),
        watched_directory=WatchedDirectory(path=str(certificate.parent)),
    )
    return _file(Secret(name=name, tls_certificate=content), directory)


def _validation(name: str, ca: Path, names: tuple[str, ...], directory: Path) -> SecretFile:
    content = CertificateValidationContext(
        trusted_ca=DataSource(filename=str(ca)),
        watched_directory=WatchedDirectory(path=str(ca.parent)),
        match_typed_subject_alt_names=[_matcher(one) for one in names],
    )
    return _file(Secret(name=name, validation_context=content), directory)


def _file(secret: Secret, directory: Path) -> SecretFile:
    content = {"resources": [{"@type": _SECRET, **plain(secret)}]}
    return SecretFile(directory / f"{secret.name}.json", content)


def _source(file: SecretFile) -> SdsSecretConfig:
    return SdsSecretConfig(
        name=file.path.stem,
        sds_config=ConfigSource(
            path_config_source=PathConfigSource(path=str(file.path)), resource_api_version=ApiVersion.V3
        ),
    )


def _matcher(name: str) -> SubjectAltNameMatcher:
    kind = SubjectAltNameMatcherSanType.DNS
    if "://" in name:
        kind = SubjectAltNameMatcherSanType.URI
    elif _is_ip(name):
        kind = SubjectAltNameMatcherSanType.IP_ADDRESS
    return SubjectAltNameMatcher(san_type=kind, matcher=StringMatcher(exact=name))


def _is_ip(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
