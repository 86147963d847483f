"""services.yaml: each complaint names the line, what is wrong, why, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateledger.services.model import identity_settings
from gateledger.services.reading import ServicesError, load, parse

ENOUGH = """\
upstreams:
  - name: shop
    addresses: ["10.0.0.5:8080"]
services:
  - name: orders
    upstream: shop
"""
TOKENS = """\
identity:
  issuers:
    - name: corp
      issuer: https://id.example.com
      audiences: [shop]
      jwks_file: jwks.json
"""


def test_a_service_and_where_it_is_are_enough() -> None:
    services = parse(ENOUGH, "services.yaml")

    assert services.listeners[0].address == "127.0.0.1:10000"
    assert services.services[0].paths == ("/",)
    assert identity_settings(services).issuers == ()


def test_files_are_looked_for_beside_the_description() -> None:
    services = parse(ENOUGH + TOKENS, "services.yaml", Path("/etc/gateledger"))

    assert services.identity.issuers[0].jwks_file == Path("/etc/gateledger/jwks.json")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param(
            ENOUGH.replace("upstream: shop", "upstrem: shop"),
            "s.yaml:6: services[0].upstrem: there is no such key here; did you mean upstream?",
            id="a slip of the pen",
        ),
        pytest.param(
            ENOUGH + "tls: yes\n",
            "s.yaml:7: tls: there is no such key here; known are alslog, extauthz, identity, limits, listeners, "
            "services, upstreams",
            id="an unknown key",
        ),
        pytest.param(
            ENOUGH.replace("    upstream: shop\n", ""),
            "s.yaml:5: services[0].upstream: is missing, and has no default",
            id="a missing key",
        ),
        pytest.param(
            ENOUGH + "    upstream: other\n",
            "s.yaml:7: services[0].upstream: is there twice, and only one would count",
            id="a key twice",
        ),
        pytest.param(
            ENOUGH.replace("upstream: shop", "upstream: shap"),
            "services: orders: there is no upstream 'shap'; known are shop",
            id="an upstream that is not there",
        ),
        pytest.param(
            ENOUGH.replace("10.0.0.5:8080", "10.0.0.5"),
            "s.yaml:3: upstreams[0].addresses[0]: must be HOST:PORT, such as 10.0.0.5:8080, or unix:/PATH; it is '10.0.0.5'",
            id="an address without a port",
        ),
        pytest.param(
            ENOUGH.replace('["10.0.0.5:8080"]', '["unix:/run/a.sock", "shop:80"]'),
            "s.yaml:2: upstreams[0]: addresses: unix sockets and host names cannot be mixed",
            id="addresses of two kinds",
        ),
        pytest.param(
            ENOUGH.replace('["10.0.0.5:8080"]', "[]"),
            "s.yaml:3: upstreams[0].addresses: must have at least one",
            id="no address",
        ),
        pytest.param(
            ENOUGH.replace("name: shop", "name: alslog"),
            "s.yaml:2: upstreams[0].name: must be letters, digits, _ and - only, and neither extauthz nor alslog",
            id="a name of the gate's own",
        ),
        pytest.param(
            ENOUGH + "    paths: [/a/../b]\n",
            "s.yaml:7: services[0].paths: '/a/../b' is no plain path",
            id="dots",
        ),
        pytest.param(
            ENOUGH + "    paths: [/a%2fb]\n",
            "s.yaml:7: services[0].paths: '/a%2fb' is no plain path",
            id="escapes",
        ),
        pytest.param(
            ENOUGH + "    hosts: []\n",
            "s.yaml:7: services[0].hosts: must have at least one",
            id="no host, which would be any",
        ),
        pytest.param(
            ENOUGH + '    hosts: ["a.example.com:443"]\n',
            "s.yaml:7: services[0].hosts[0]: must be a host name without port",
            id="a host with a port",
        ),
        pytest.param(
            ENOUGH + "  - {name: billing, upstream: shop}\n",
            "services: 'orders' and 'billing' both claim / of host *",
            id="two services on one path",
        ),
        pytest.param(
            ENOUGH + "  - {name: orders, upstream: shop, paths: [/x]}\n",
            "services: 'orders' is there twice; each needs its own",
            id="two services of one name",
        ),
        pytest.param(
            ENOUGH + "listeners: [{address: example.com:80}]\n",
            "s.yaml:7: listeners[0].address: example.com is no IP address",
            id="a listener with a name",
        ),
        pytest.param(
            ENOUGH + "listeners: [{tls: {certificate: a/x.pem, key: b/x.pem}}]\n",
            "s.yaml:7: listeners[0].tls: certificate and key must stand in one directory",
            id="a certificate and its key apart",
        ),
        pytest.param(
            ENOUGH + "listeners: [{tls: {certificate: x.pem, key: x.key, client_certificate: required}}]\n",
            "s.yaml:7: listeners[0].tls: client_certificate: required needs a client_ca, or any certificate would do",
            id="certificates that nobody verifies",
        ),
        pytest.param(
            ENOUGH + "identity: {client_certificates: {}}\n",
            "identity: client_certificates: no listener asks for certificates; give one tls.client_ca",
            id="certificates that nobody asks for",
        ),
        pytest.param(
            ENOUGH + TOKENS.replace("      jwks_file: jwks.json\n", ""),
            "s.yaml:9: identity.issuers[0]: needs its public keys: one of jwks_file and jwks_server",
            id="an issuer without keys",
        ),
        pytest.param(
            ENOUGH + TOKENS.replace("jwks_file: jwks.json", "jwks_server: {uri: http://id.example.com/k}"),
            "s.yaml:12: identity.issuers[0].jwks_server.uri: must be https: whoever is on the way",
            id="keys over plain text",
        ),
        pytest.param(
            ENOUGH + TOKENS.replace("      audiences: [shop]\n", ""),
            "s.yaml:9: identity.issuers[0].audiences: is missing",
            id="tokens for others",
        ),
        pytest.param(
            ENOUGH + TOKENS + "    - {name: b, issuer: b, audiences: [x], jwks_file: k}\n",
            "could each name the other's subjects",
            id="two issuers with one template",
        ),
        pytest.param(
            ENOUGH + TOKENS + "  api_keys: {keys: [{name: a, sha256: " + "a" * 64 + "}]}\n",
            "'corp' and 'api_keys' could each name the other's subjects",
            id="a key that could pass for a token",
        ),
        pytest.param(
            ENOUGH + "identity: {api_keys: {keys: [{name: a, sha256: my-secret-key}]}}\n",
            "identity.api_keys.keys[0].sha256: must be 64 lower-case hex digits, the SHA-256 of the key; never the key itself",
            id="a key instead of its hash",
        ),
        pytest.param(
            ENOUGH
            + "identity: {api_keys: {header: x-subject, keys: [{name: a, sha256: "
            + "a" * 64
            + "}]}}\n",
            "identity.api_keys.header: must be the name of a request header that nothing else uses",
            id="a header of the gate's own",
        ),
        pytest.param(
            ENOUGH + "    accepts: [jwt:corp]\n",
            "accepts: orders: 'jwt:corp' is no credential; known are api_key, jwt, mtls",
            id="an issuer that is not there",
        ),
        pytest.param("a: [", "s.yaml:1: is not YAML: ", id="no YAML"),
        pytest.param("- 1", "s.yaml:1: must map names to values, but holds a list", id="a list"),
        pytest.param("", "s.yaml:1: must map names to values, but holds a NoneType", id="nothing"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, complaint: str) -> None:
    with pytest.raises(ServicesError) as error:
        parse(text, "s.yaml")

    assert complaint in str(error.value)


def test_no_complaint_repeats_what_could_be_a_secret() -> None:
    with pytest.raises(ServicesError) as error:
        parse(ENOUGH + "identity: {api_keys: {keys: [{name: a, sha256: my-secret-key}]}}\n", "s.yaml")

    assert "my-secret-key" not in str(error.value)


def test_all_complaints_come_at_once(tmp_path: Path) -> None:
    path = tmp_path / "services.yaml"
    path.write_text(ENOUGH.replace("addresses", "adresses").replace("upstream: shop", "upstrem: shop"))
    with pytest.raises(ServicesError) as error:
        load(path)

    assert len(str(error.value).splitlines()) == 4, str(error.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ServicesError, match=r"nowhere\.yaml: cannot be read"):
        load(tmp_path / "nowhere.yaml")
