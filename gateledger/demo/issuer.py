"""The demo token issuer: a key made at first start, its JWKS for Envoy, and signed tokens."""

from __future__ import annotations

import json
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from gateledger.files import write_private

if TYPE_CHECKING:
    from collections.abc import Sequence

ISSUER = "https://issuer.demo.gateledger.example"
AUDIENCE = "gateledger-demo"
ALGORITHM = "ES256"
KEY_ID = "demo"


class IssuerError(Exception):
    """There is no demo issuer here, or its key cannot be used."""


@dataclass(frozen=True, slots=True)
class DemoIssuer:
    """Signs tokens that the demo's Envoy accepts."""

    directory: Path

    @property
    def key_file(self) -> Path:
        return self.directory / "issuer-key.pem"

    @property
    def jwks_file(self) -> Path:
        return self.directory / "jwks.json"

    def ensure(self) -> None:
        """Make the key and its JWKS, unless they are there. The key file has mode 0600."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self.key_file.exists():
            pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            write_private(self.key_file, pem)
        write_private(self.jwks_file, json.dumps(self._jwks()).encode())

    def token(self, subject: str, roles: Sequence[str], now: float, ttl: float) -> str:
        """A signed token of `subject` that expires `ttl` seconds after `now` (epoch seconds)."""
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": subject,
            "roles": list(roles),
            "iat": int(now),
            "exp": int(now + ttl),
            "jti": str(uuid.uuid4()),
        }
        return jwt.encode(claims, self._key(), algorithm=ALGORITHM, headers={"kid": KEY_ID})

    def _jwks(self) -> dict[str, Any]:
        public: dict[str, Any] = ECAlgorithm.to_jwk(self._key().public_key(), as_dict=True)
        return {"keys": [{**public, "kid": KEY_ID, "alg": ALGORITHM, "use": "sig"}]}

    def _key(self) -> ec.EllipticCurvePrivateKey:
        try:
            key = serialization.load_pem_private_key(self.key_file.read_bytes(), password=None)
        except FileNotFoundError as error:
            raise IssuerError(
                f"{self.key_file}: no demo issuer here; it is made by `gateledger up --demo`"
            ) from error
        except (OSError, ValueError) as error:
            raise IssuerError(
                f"{self.key_file}: cannot be used: {error}; delete it to get a new one"
            ) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise IssuerError(f"{self.key_file}: is no elliptic-curve key; delete it to get a new one")
        return key


if __name__ == "__main__":
    # For docker-compose: make the key and the JWKS in the first directory, and copy the JWKS, which
    # is all that Envoy may see, into the second.
    issuer = DemoIssuer(Path(sys.argv[1]))
    issuer.ensure()
    write_private(Path(sys.argv[2]) / issuer.jwks_file.name, issuer.jwks_file.read_bytes())
