"""`gateledger envoy lint`: what a start would refuse, told beforehand."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateledger.cli.commands import cli
from gateledger.compose import rendered

SETTINGS = "extauthz: {issuers: [{name: demo}]}"
WITH_PROVIDERS = """
static_resources:
  listeners:
    - "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
      http_filters:
        - typed_config:
            "@type": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication
            providers: demo
"""


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "settings.yaml").write_text(SETTINGS)
    return tmp_path


def lint(directory: Path, bootstrap: str) -> Result:
    (directory / "gate.yaml").write_text(bootstrap)
    return CliRunner().invoke(cli, ["envoy", "lint", "gate.yaml", "--config", "settings.yaml"])


def test_in_the_shipped_bootstrap_nothing_is_found(directory: Path) -> None:
    done = lint(directory, rendered())

    assert (done.exit_code, done.output) == (0, "gate.yaml: nothing found\n")


def test_all_that_is_open_is_told_at_once(directory: Path) -> None:
    opened = rendered().replace(", update_merge_window: 0s", "").replace("merge_slashes: true", "")
    done = lint(directory, opened)

    assert done.exit_code == 1
    assert [line.partition(" must be")[0] for line in done.stderr.splitlines()] == [
        "gate.yaml: cluster 'extauthz': common_lb_config.update_merge_window",
        "gate.yaml: cluster 'alslog': common_lb_config.update_merge_window",
        "gate.yaml: HTTP connection manager 'gate': merge_slashes",
    ]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("[", id="no YAML"),
        pytest.param("7", id="no mapping"),
        pytest.param("static_resources: [1]", id="a list for a mapping"),
        pytest.param("static_resources: {clusters: [extauthz]}", id="a text for a cluster"),
        pytest.param(WITH_PROVIDERS, id="a text for the providers of tokens"),
    ],
)
def test_what_is_no_bootstrap_is_unusable(directory: Path, text: str) -> None:
    done = lint(directory, text)

    assert done.exit_code == 2
    assert "gate.yaml: " in done.stderr
