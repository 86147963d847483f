from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from gateledger.settings import SettingsError, dump, load


def test_every_path_that_is_left_out_is_derived_from_home(tmp_path: Path) -> None:
    settings = load(overrides={"home": tmp_path}, environ={})

    assert settings.extauthz.listen == (f"unix:{tmp_path}/run/extauthz.sock",)
    assert settings.alslog.spool == tmp_path / "spool" / "alslog"
    assert settings.clickhouse.writer_password_file == settings.chserver.writer_password_file
    assert settings.clickhouse.url == "http://127.0.0.1:8123"
    assert settings.embedded


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "g.yaml"
    file.write_text("extauthz: {max_concurrent: 1, drain_seconds: 1, reload_seconds: 1}")
    environ = {
        "GATELEDGER_EXTAUTHZ__MAX_CONCURRENT": "2",
        "GATELEDGER_EXTAUTHZ__DRAIN_SECONDS": "2",
        "PATH": "/bin",
    }

    settings = load(file, {"extauthz": {"max_concurrent": 3}}, environ)

    assert settings.extauthz.max_concurrent == 3
    assert settings.extauthz.drain_seconds == 2
    assert settings.extauthz.reload_seconds == 1


def test_a_list_in_the_environment_is_json() -> None:
    settings = load(environ={"GATELEDGER_EXTAUTHZ__ISSUERS": '[{"name": "demo", "roles": ["*"]}]'})

    assert settings.extauthz.issuers[0].roles == ("*",)


def test_settings_survive_being_written_and_read(tmp_path: Path) -> None:
    settings = load(overrides={"home": tmp_path, "extauthz": {"issuers": [{"name": "demo"}]}}, environ={})
    file = tmp_path / "settings.json"
    file.write_text(dump(settings))

    assert load(file, environ={}) == settings


def test_a_clickhouse_of_ones_own_is_not_the_embedded_one() -> None:
    assert not load(overrides={"clickhouse": {"url": "https://ch.example:8443"}}, environ={}).embedded


@pytest.mark.parametrize(
    ("text", "environ", "words"),
    [
        pytest.param("extauth: {}", {}, ["extauth", "no such setting"], id="unknown section"),
        pytest.param(
            "extauthz: {polciy: x}", {}, ["extauthz.polciy", "no such setting"], id="unknown key in the file"
        ),
        pytest.param(
            "",
            {"GATELEDGER_EXTAUTHZ__POLCIY": "x"},
            ["GATELEDGER_EXTAUTHZ__POLCIY", "no such setting"],
            id="unknown key in the environment",
        ),
        pytest.param(
            "extauthz: {max_concurrent: many}",
            {},
            ["extauthz.max_concurrent", "integer", "'many'"],
            id="wrong type",
        ),
        pytest.param("extauthz: {max_concurrent: 0}", {}, ["greater than or equal to 1"], id="out of range"),
        pytest.param("envoy: {listen: nonsense}", {}, ["envoy.listen", "HOST:PORT"], id="no address"),
        pytest.param("envoy: {listen: ':10000'}", {}, ["envoy.listen", "HOST:PORT"], id="no host"),
        pytest.param("envoy: {listen: '127.0.0.1:99999'}", {}, ["envoy.listen", "HOST:PORT"], id="no port"),
        pytest.param("envoy: {listen: 'localhost:1'}", {}, ["envoy.listen", "no IP address"], id="a name"),
        pytest.param("envoy: {log_level: loud}", {}, ["envoy.log_level", "'warning'"], id="no log level"),
        pytest.param(
            "audit: {timezone: Mars/Base}", {}, ["audit.timezone", "Europe/Zurich"], id="no time zone"
        ),
        pytest.param(
            "clickhouse: {url: 'ftp://x'}", {}, ["clickhouse.url", "http://HOST:PORT"], id="no HTTP"
        ),
        pytest.param(
            "clickhouse: {url: 'localhost'}", {}, ["clickhouse.url", "http://HOST:PORT"], id="no scheme"
        ),
        pytest.param("clickhouse: {url: 'http://x:99999'}", {}, ["clickhouse.url"], id="a URL without port"),
        pytest.param("[1]", {}, ["must map sections", "list"], id="no mapping"),
        pytest.param("a: [", {}, ["is not YAML"], id="no YAML"),
        pytest.param(
            "", {"GATELEDGER_EXTAUTHZ__ISSUERS": "[{"}, ["GATELEDGER_EXTAUTHZ__ISSUERS", "JSON"], id="no JSON"
        ),
    ],
)
def test_settings_that_cannot_be_used_say_where_and_why(
    tmp_path: Path, text: str, environ: dict[str, str], words: list[str]
) -> None:
    file = tmp_path / "gateledger.yaml"
    file.write_text(text)

    with pytest.raises(SettingsError) as refused:
        load(file, environ=environ)

    assert all(word in str(refused.value) for word in words), str(refused.value)


def test_a_password_in_a_refused_url_is_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as refused:
        load(overrides={"clickhouse": {"url": "http://me:s3cret@ch.example:8123"}}, environ={})

    assert "s3cret" not in str(refused.value)
    assert "clickhouse.url" in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"missing\.yaml: cannot be read"):
        load(tmp_path / "missing.yaml", environ={})


def test_the_dump_is_json_and_so_yaml() -> None:
    text = dump(load(environ={}))

    assert json.loads(text) == yaml.safe_load(text)
