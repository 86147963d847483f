from __future__ import annotations

from pathlib import Path

import pytest
from throwaway_ca import ThrowawayCa

from gateledger.services.notes import notes
from gateledger.services.reading import parse

REST = """
upstreams: [{name: shop, addresses: ["127.0.0.1:1"]}]
services: [{name: orders, upstream: shop, accepts: [%s]}]
"""
TLS = "{certificate: server.pem, key: server-key.pem}"


def said(listener: str, directory: Path, accepts: str = "jwt") -> list[str]:
    return list(notes(parse(f"listeners: [{listener}]" + REST % accepts, "s.yaml", directory)))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    ThrowawayCa(tmp_path).issue("server", "localhost").key.chmod(0o600)
    return tmp_path


@pytest.mark.parametrize(
    ("listener", "told"),
    [
        ("{address: 127.0.0.1:80}", False),
        ('{address: "[::1]:80"}', False),
        ("{address: 0.0.0.0:80}", True),
        ("{address: 10.0.0.1:80}", True),
        ("{address: 0.0.0.0:443, tls: " + TLS + "}", False),
    ],
)
def test_credentials_in_the_clear_are_told(directory: Path, listener: str, told: bool) -> None:
    assert any("plain text beyond this machine" in note for note in said(listener, directory)) is told


def test_a_service_that_nobody_can_reach_is_told(directory: Path) -> None:
    assert any("orders takes certificates alone" in note for note in said("{}", directory, "mtls"))


@pytest.mark.parametrize(("mode", "told"), [(0o600, False), (0o400, False), (0o640, True), (0o604, True)])
def test_a_private_key_that_others_can_read_is_told(directory: Path, mode: int, told: bool) -> None:
    (directory / "server-key.pem").chmod(mode)
    listener = "{address: 127.0.0.1:443, tls: " + TLS + "}"

    assert any("others of this machine can read" in note for note in said(listener, directory)) is told
