"""The files that services.yaml names are looked at before anything starts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from throwaway_ca import ThrowawayCa

from gateledger.services.reading import ServicesError, load

TEXT = """\
listeners:
  - tls:
      certificate: server.pem
      key: server-key.pem
      client_ca: clients.pem
upstreams:
  - {name: shop, addresses: ["10.0.0.5:8080"]}
services:
  - {name: orders, upstream: shop}
identity:
  issuers:
    - name: corp
      issuer: https://id.example.com
      audiences: [shop]
      jwks_file: jwks.json
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    ca = ThrowawayCa(tmp_path)
    ca.write("clients.pem")
    ca.issue("server", "localhost")
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [{"kty": "EC"}]}))
    (tmp_path / "services.yaml").write_text(TEXT)
    return tmp_path


def test_files_that_are_what_they_should_be_are_taken(directory: Path) -> None:
    assert load(directory / "services.yaml").listeners[0].tls


def another_key(directory: Path) -> None:
    other = ThrowawayCa(directory / "other").issue("other", "localhost")
    (directory / "server-key.pem").write_bytes(other.key.read_bytes())


def write(name: str, content: str) -> Callable[[Path], None]:
    return lambda directory: (directory / name).write_text(content) and None


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        pytest.param(
            lambda d: (d / "server.pem").unlink(),
            "services.yaml:3: listeners[0].tls.certificate: ",
            id="gone",
        ),
        pytest.param(write("server.pem", "x"), "holds no certificate in PEM", id="no certificate"),
        pytest.param(write("server-key.pem", "x"), "holds no private key in PEM", id="no key"),
        pytest.param(another_key, "services.yaml:4: listeners[0].tls.key: ", id="another certificate's key"),
        pytest.param(
            write("clients.pem", ""), "services.yaml:5: listeners[0].tls.client_ca: ", id="an empty CA"
        ),
        pytest.param(
            write("jwks.json", "{}"), "services.yaml:15: identity.issuers[0].jwks_file: ", id="no JWKS"
        ),
        pytest.param(
            write("jwks.json", '{"keys": []}'), "has no keys, so every token would be refused", id="no keys"
        ),
        pytest.param(
            write("jwks.json", '{"keys": [{"kty": "EC", "d": "x"}]}'),
            "holds a private or a shared key",
            id="private",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_told_with_the_line_that_names_it(
    directory: Path, spoil: Callable[[Path], object], complaint: str
) -> None:
    spoil(directory)
    with pytest.raises(ServicesError) as error:
        load(directory / "services.yaml")

    assert complaint in str(error.value)
