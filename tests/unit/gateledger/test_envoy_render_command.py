"""`gateledger envoy render` and what `up --services` refuses before it starts anything."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from throwaway_ca import ThrowawayCa

from gateledger.cli.commands import cli
from gateledger.demo.issuer import ISSUER, DemoIssuer
from gateledger.services.model import identity_settings
from gateledger.services.reading import load as load_services
from gateledger.settings import load

SERVICES = """\
listeners:
  - address: 0.0.0.0:443
    tls: {certificate: server.pem, key: server-key.pem, client_ca: clients.pem, minimum: "1.3"}
upstreams:
  - {name: shop, addresses: ["10.0.0.5:8080", "10.0.0.6:8080"]}
services:
  - {name: orders, upstream: shop, accepts: [jwt]}
identity:
  issuers:
    - {name: corp, issuer: "https://id.example.com", audiences: [shop], jwks_file: jwks.json, subject: "corp:{sub}"}
  client_certificates: {subject: "cert:{uri}"}
"""


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    ca = ThrowawayCa(tmp_path)
    ca.write("clients.pem")
    ca.issue("server", "localhost")
    DemoIssuer(tmp_path).ensure()
    (tmp_path / "services.yaml").write_text(SERVICES)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def test_a_description_becomes_a_bootstrap_and_what_goes_with_it(directory: Path) -> None:
    done = run("envoy", "render", "-o", "gate.json")
    bootstrap = json.loads((directory / "gate.json").read_text())
    settings = load(directory / "gate.extauthz.yaml", environ={})

    assert done.exit_code == 0, done.output
    assert done.stdout == "gate.json: Envoy accepts it\n"
    assert bootstrap["static_resources"]["listeners"][0]["address"]["socket_address"]["port_value"] == 443
    assert {one.name for one in (directory / "gate.secrets").iterdir()} == {
        "gate.certificate.json",
        "gate.clients.json",
    }
    # One source: what Envoy verifies is what extauthz expects.
    expected = identity_settings(load_services(directory / "services.yaml"))
    assert {name: getattr(settings.extauthz, name) for name in type(expected).model_fields} == dict(expected)
    assert {one.stat().st_mode & 0o777 for one in directory.glob("gate.*") if one.is_file()} == {0o600}
    assert not list(directory.glob("*trial*"))


def test_what_one_should_know_is_told_and_no_obstacle(directory: Path) -> None:
    (directory / "server-key.pem").chmod(0o644)
    done = run("envoy", "render", "-o", "gate.json")

    assert done.exit_code == 0
    assert "note: " in done.stderr
    assert "server-key.pem: others of this machine can read this private key; chmod 600 it" in done.stderr


def test_no_private_key_is_copied(directory: Path) -> None:
    run("envoy", "render", "-o", "gate.json")
    written = "".join(path.read_text() for path in directory.rglob("gate*") if path.is_file())

    assert "server-key.pem" in (directory / "gate.secrets" / "gate.certificate.json").read_text()
    assert "PRIVATE KEY" not in written


def test_the_demos_issuer_is_refused(directory: Path) -> None:
    (directory / "services.yaml").write_text(SERVICES.replace("https://id.example.com", ISSUER))
    done = run("envoy", "render", "-o", "gate.json")

    assert done.exit_code == 2
    assert "identity.issuers[0].issuer" in done.stderr
    assert "whose key anyone can make tokens with" in done.stderr
    assert not (directory / "gate.json").exists()


def test_what_envoy_refuses_is_told_and_not_left_behind(directory: Path) -> None:
    (directory / "jwks.json").write_text('{"keys": [{"kty": "nonsense"}]}')
    done = run("envoy", "render", "-o", "gate.json")

    assert done.exit_code == 2
    assert "services.yaml: Envoy refuses what it renders to" in done.stderr
    assert not (directory / "gate.json").exists()
    assert not list(directory.glob("*trial*"))


def test_a_slip_in_the_description_is_told_with_its_line(directory: Path) -> None:
    (directory / "services.yaml").write_text(SERVICES.replace("upstream: shop", "upstrem: shop"))
    done = run("envoy", "render", "-o", "gate.json")

    assert done.exit_code == 2
    assert (
        "services.yaml:7: services[0].upstrem: there is no such key here; did you mean upstream?"
        in done.stderr
    )
    assert "Traceback" not in done.output


def test_a_directory_that_is_not_there_is_told(directory: Path) -> None:
    done = run("envoy", "render", "-o", "nowhere/gate.json")

    assert done.exit_code == 2
    assert "cannot be written: No such file or directory" in done.stderr


def test_the_help_of_render_has_a_description_that_renders(directory: Path) -> None:
    shown = run("envoy", "render", "--help").stdout
    begin = shown.rindex("\n", 0, shown.index("upstreams:")) + 1
    (directory / "services.yaml").write_text(textwrap.dedent(shown[begin : shown.index("Options:")]))

    assert run("envoy", "render", "-o", "gate.json").exit_code == 0


def test_whoever_has_no_policy_of_their_own_is_told_so(directory: Path) -> None:
    (directory / "home").write_text("no directory: the start ends here")
    done = run("up", "--home", str(directory / "home"), "--services", "services.yaml")

    assert done.exit_code == 2
    assert "note: the sample policy decides" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "settings", "words"),
    [
        pytest.param(["--demo"], "", "--demo and --services", id="the demo"),
        pytest.param([], "envoy: {bootstrap: mine.yaml}", "envoy.bootstrap and --services", id="a bootstrap"),
        pytest.param(
            [],
            "extauthz: {issuers: [{name: a}]}",
            "extauthz.issuers and --services both say who may call",
            id="issuers",
        ),
        pytest.param(
            [], "extauthz: {precedence: [mtls, jwt, api_key]}", "extauthz.precedence", id="an order"
        ),
    ],
)
def test_two_words_on_one_thing_are_refused(
    directory: Path, arguments: list[str], settings: str, words: str
) -> None:
    (directory / "gateledger.yaml").write_text(settings)
    done = run("up", "--home", str(directory / "home"), "--services", "services.yaml", *arguments)

    assert done.exit_code == 2
    assert words in done.stderr
