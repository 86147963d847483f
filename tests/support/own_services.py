"""envoy/examples/identity, made real: its certificates, issuers and upstream, and a stack that guards it."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import shutil
import socket
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from grpc_upstream import grpc_upstream
from guarded_upstream import GuardedUpstream
from jwt.algorithms import ECAlgorithm
from ports import free_port
from stack_process import Answer, StackProcess
from throwaway_ca import Pair, ThrowawayCa, self_signed

EXAMPLE = Path(__file__).resolve().parents[2] / "envoy" / "examples" / "identity"
API_KEY = "0f2d" * 16
HOST = "shop.example.com"
INTERNAL = "".join(
    f"""
{service}:
  tls:
    sni: {service}.internal
    ca: certs/internal-ca.pem
    certificate: certs/envoy.pem
    key: certs/envoy-key.pem
"""
    for service in ("extauthz", "alslog")
)


class Issuer:
    """Signs tokens. `claims` are those of a good one."""

    def __init__(self, name: str, **claims: Any) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.name = name
        self.claims = {"iss": f"https://id.{name}.example", "aud": "shop", **claims}

    @property
    def jwks(self) -> dict[str, Any]:
        public: dict[str, Any] = ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return {"keys": [{**public, "kid": self.name, "alg": "ES256", "use": "sig"}]}

    def token(self, *, seconds: float = 600, **claims: Any) -> str:
        """A token that expires in so many seconds; a claim given as None is left out."""
        now = int(time.time())
        all_claims = {"iat": now - 1000, "exp": int(now + seconds), **self.claims, **claims}
        content = {name: value for name, value in all_claims.items() if value is not None}
        return jwt.encode(content, self._key, algorithm="ES256", headers={"kid": self.name})


@dataclass
class OwnServices:
    """The example, running."""

    stack: StackProcess
    directory: Path
    server_ca: ThrowawayCa
    clients: Mapping[str, Pair]
    corp: Issuer
    partner: Issuer

    @property
    def listeners(self) -> Sequence[str]:
        found: Sequence[str] = self.stack.ready["listeners"]
        return found

    @property
    def certs(self) -> Path:
        return self.directory / "certs"

    def context(self, client: str = "") -> ssl.SSLContext:
        """What a client trusts, and which certificate it shows."""
        context = ssl.create_default_context(cafile=self.certs / "server-ca.pem")
        if client:
            pair = self.clients[client]
            context.load_cert_chain(pair.certificate, pair.key)
        return context

    def ask(
        self,
        path: str,
        headers: Sequence[tuple[str, str]] = (),
        *,
        client: str = "",
        plain: bool = False,
        host: str = HOST,
    ) -> Answer:
        """One request on a connection of its own; header lines go out as they are."""
        address = self.listeners[1 if plain else 0].partition("//")[2]
        connection: http.client.HTTPConnection = (
            http.client.HTTPConnection(address, timeout=30)
            if plain
            else http.client.HTTPSConnection(address, timeout=30, context=self.context(client))
        )
        with contextlib.closing(connection):
            connection.putrequest("GET", path, skip_host=True)
            for name, value in (("host", host), *headers):
                connection.putheader(name, value)
            connection.endheaders()
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read())

    def tls(self, client: str = "") -> ssl.SSLSocket:
        """A connection to the TLS listener, its handshake done."""
        host, _, port = self.listeners[0].partition("//")[2].rpartition(":")
        plain = socket.create_connection((host, int(port)), timeout=30)
        return self.context(client).wrap_socket(plain, server_hostname="127.0.0.1")


@contextlib.contextmanager
def own_services(root: Path) -> Iterator[OwnServices]:
    """The example with certificates of throwaway CAs and free ports, guarded until the block ends."""
    directory = root / "identity"
    shutil.copytree(EXAMPLE, directory)
    certs = directory / "certs"
    server_ca, client_ca = ThrowawayCa(certs, "server CA"), ThrowawayCa(certs, "client CA")
    for ca, file in (
        (server_ca, "server-ca.pem"),
        (server_ca, "upstream-ca.pem"),
        (client_ca, "clients-ca.pem"),
    ):
        ca.write(file)
    server_ca.swap("server", "127.0.0.1", HOST)
    clients = {
        "batch": client_ca.issue("batch", "spiffe://example.com/batch"),
        "two": client_ca.issue("two", "spiffe://example.com/batch", "spiffe://example.com/other"),
        "host": client_ca.issue("host", "batch.example.com"),
        "reserved": client_ca.issue("reserved", common_name="role:admin"),
        "stranger": ThrowawayCa(root / "stranger").issue("stranger", "spiffe://example.com/batch"),
        "self": self_signed(root / "stranger", "self", "spiffe://example.com/batch"),
    }
    corp = Issuer("corp", sub="alice", realm_access={"roles": ["staff", "boss"]})
    partner = Issuer("partner", email="bob@partner.example")
    (directory / "jwks-corp.json").write_text(json.dumps(corp.jwks))
    internal = ThrowawayCa(certs, "internal CA")
    internal.write("internal-ca.pem")
    internal.issue("envoy", common_name="envoy")
    settings = {"GATELEDGER_EXTAUTHZ__POLICY": str(directory / "policy.csv")}
    for service in ("extauthz", "alslog"):
        settings |= over_tcp(internal, service)
    pair = server_ca.issue("upstream", "shop.internal", "localhost")
    with (
        GuardedUpstream(pair, {"/partner/jwks.json": partner.jwks}) as upstream,
        grpc_upstream(root / "stock.sock"),
    ):
        _adapt(directory / "services.yaml", upstream.port, root / "stock.sock")
        stack = StackProcess(
            root / "home",
            settings,
            ("--services", str(directory / "services.yaml")),
        )
        with stack:
            yield OwnServices(stack, directory, server_ca, clients, corp, partner)


def over_tcp(ca: ThrowawayCa, service: str) -> dict[str, str]:
    """Settings of a service that is reached over TCP, with certificates on both sides."""
    pair = ca.issue(service, f"{service}.internal")
    listen = f"127.0.0.1:{free_port()}"
    tls = {"certificate": pair.certificate, "key": pair.key, "client_ca": ca.directory / "internal-ca.pem"}
    prefix = f"GATELEDGER_{service.upper()}__"
    return {
        f"{prefix}LISTEN": json.dumps([listen]) if service == "extauthz" else listen,
        f"{prefix}TLS": json.dumps({name: str(path) for name, path in tls.items()}),
    }


def _adapt(services: Path, upstream_port: int, stock: Path) -> None:
    """Free ports, and the hash of a key that the test knows; all else is as it ships."""
    text = services.read_text()
    for shipped, here in (
        ("127.0.0.1:10443", f"127.0.0.1:{free_port()}"),
        ("127.0.0.1:10080", f"127.0.0.1:{free_port()}"),
        (":8443", f":{upstream_port}"),
        ("/run/shop/stock.sock", str(stock)),
        ("0" * 64, hashlib.sha256(API_KEY.encode()).hexdigest()),
    ):
        assert shipped in text
        text = text.replace(shipped, here)
    services.write_text(text + INTERNAL)
