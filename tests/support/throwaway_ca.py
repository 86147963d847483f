"""A certificate authority for one test: certificates with the names that the test wants, as PEM files."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as files."""

    certificate: Path
    key: Path


def name_of(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


@dataclass
class ThrowawayCa:
    """Signs whatever it is asked to. `directory` gets the files."""

    directory: Path
    name: str = "test CA"
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.certificate = _signed(name_of(self.name), name_of(self.name), self.key, self.key, (), ca=True)

    def write(self, file: str) -> Path:
        path = self.directory / file
        path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        return path

    def issue(self, file: str, *names: str, common_name: str = "somebody", days: int = 1) -> Pair:
        """FILE.pem and FILE-key.pem for DNS names, IP addresses and URIs, replaced by renaming."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = name_of(common_name)
        certificate = _signed(subject, self.certificate.subject, key, self.key, names, ca=False, days=days)
        return _written(self.directory, file, certificate, key)

    def swap(self, file: str, *names: str) -> None:
        """As `issue`, but in Kubernetes' way: FILE.pem is a link through the link ..data, which alone is replaced."""
        version = f"..{x509.random_serial_number()}"
        ThrowawayCa(self.directory / version, self.name, self.key).issue(file, *names)
        (self.directory / "..new").symlink_to(version)
        (self.directory / "..new").rename(self.directory / "..data")
        for name in (f"{file}.pem", f"{file}-key.pem"):
            if not (self.directory / name).exists():
                (self.directory / name).symlink_to(f"..data/{name}")


def self_signed(directory: Path, file: str, *names: str) -> Pair:
    """A certificate that nobody but its own key signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _signed(name_of("evil"), name_of("evil"), key, key, names, ca=False)
    return _written(directory, file, certificate, key)


def _written(
    directory: Path, file: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> Pair:
    pair = Pair(directory / f"{file}.pem", directory / f"{file}-key.pem")
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = certificate.public_bytes(serialization.Encoding.PEM)
    for path, content in ((pair.key, private), (pair.certificate, public)):
        part = path.with_suffix(".part")
        part.write_bytes(content)
        part.rename(path)
    return pair


def _signed(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    names: Sequence[str],
    *,
    ca: bool,
    days: int = 1,
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY - DAY)
        .not_valid_after(now + days * DAY)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([_general(name) for name in names]), critical=False
        )
    return builder.sign(signer, hashes.SHA256())


def _general(name: str) -> x509.GeneralName:
    if "://" in name:
        return x509.UniformResourceIdentifier(name)
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
