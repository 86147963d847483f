"""A set-up that cannot work ends with exit code 2 and a word that helps; nothing is left running."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest
from stack_process import GATELEDGER, StackProcess

from gateledger.assets import asset


def up(home: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = StackProcess(home, settings).environment()
    command = [GATELEDGER, "up", "--home", home, *arguments]
    return subprocess.run(
        command, cwd=home.parent, env=environment, capture_output=True, text=True, check=False, timeout=90
    )


def test_a_taken_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = up(tmp_path / "home", "--demo", "--port", str(port))

    assert done.returncode == 2
    assert f"setting envoy.listen: cannot listen on 127.0.0.1:{port}" in done.stderr
    assert "choose another port" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_policy_that_is_not_there(tmp_path: Path) -> None:
    done = up(tmp_path / "home", "--demo", GATELEDGER_EXTAUTHZ__POLICY="nowhere.csv")

    assert done.returncode == 2
    assert "nowhere.csv" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_policy_that_is_broken(tmp_path: Path) -> None:
    (tmp_path / "broken.csv").write_text("p, role:customer, orders, /orders/:id, GET, alow\n")
    done = up(tmp_path / "home", "--demo", GATELEDGER_EXTAUTHZ__POLICY=str(tmp_path / "broken.csv"))

    assert done.returncode == 2
    assert "broken.csv:1" in done.stderr
    assert "alow" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_second_up_on_the_same_home(stack: StackProcess) -> None:
    done = up(stack.home, "--demo")

    assert done.returncode == 2
    assert f"{stack.home}: in use by another `gateledger up`" in done.stderr
    assert stack.ready["proxy"], "the first one must not be disturbed"


def test_nothing_to_guard(tmp_path: Path) -> None:
    done = up(tmp_path / "home")

    assert done.returncode == 2
    assert "envoy.bootstrap" in done.stderr
    assert "--demo" in done.stderr


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        pytest.param({"GATELEDGER_ENVOY__BINARY": "nowhere"}, "nowhere", id="Envoy that is not there"),
        pytest.param({"GATELEDGER_ENVOY__BOOTSTRAP": "nowhere.yaml"}, "nowhere.yaml", id="no bootstrap"),
        pytest.param(
            {"GATELEDGER_CLICKHOUSE__URL": "http://127.0.0.1:9"},
            "clickhouse.writer_password_file",
            id="a server without the writer's password",
        ),
        pytest.param({"GATELEDGER_ENVOY__LISTEN": "0.0.0.0:0"}, "--demo listens on loopback", id="open demo"),
        pytest.param({"GATELEDGER_ENVOI__BINARY": "x"}, "GATELEDGER_ENVOI__BINARY", id="unknown setting"),
        pytest.param({"GATELEDGER_ENVOY__CONCURRENCY": "two"}, "CONCURRENCY", id="wrong type"),
    ],
)
def test_a_setting_that_cannot_be_used(tmp_path: Path, settings: dict[str, str], words: str) -> None:
    done = up(tmp_path / "home", "--demo", **settings)

    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bootstrap_that_would_open_the_gate(tmp_path: Path) -> None:
    bootstrap = tmp_path / "mine.yaml"
    shipped = asset("envoy/bootstrap.yaml").read_text()
    bootstrap.write_text(shipped.replace("failure_mode_allow: false", "failure_mode_allow: true"))
    done = up(tmp_path / "home", "--demo", GATELEDGER_ENVOY__BOOTSTRAP=str(bootstrap))

    assert done.returncode == 2
    assert "mine.yaml: HTTP connection manager 'gate': failure_mode_allow" in done.stderr


def test_a_bootstrap_that_envoy_refuses(tmp_path: Path) -> None:
    bootstrap = tmp_path / "mine.yaml"
    bootstrap.write_text("node: {id: x, cluster: y}\nstatic_ressources: {}\n")
    done = up(tmp_path / "home", "--demo", GATELEDGER_ENVOY__BOOTSTRAP=str(bootstrap))

    assert done.returncode == 2
    assert "static_ressources" in done.stderr
