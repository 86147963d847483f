from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from gateledger.assets import asset
from gateledger.bootstrap import BootstrapError, Place, as_json, endpoints, fill, read
from gateledger.compose import COMPOSE, JWKS, rendered
from gateledger.demo.issuer import DemoIssuer
from gateledger.settings import load
from gateledger.stack.programs import envoy_binary

ROOT = Path(__file__).resolve().parents[3]


def local(tmp_path: Path) -> Place:
    return replace(
        COMPOSE,
        admin_socket=str(tmp_path / "admin.sock"),
        proxy_host="127.0.0.1",
        jwks_file=str(tmp_path / "jwks.json"),
        upstream_type="STATIC",
        upstream_host="127.0.0.1",
        extauthz_endpoints=endpoints(["unix:/run/extauthz-0.sock", "127.0.0.1:9001", "[::1]:9002"]),
    )


def accepted_by_envoy(text: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    file = tmp_path / "bootstrap.json"
    file.write_text(as_json(text, "test"))
    binary = envoy_binary(load(environ={}))
    command = [binary, "--mode", "validate", "--disable-hot-restart", "-c", file]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_local_bootstrap_is_accepted_by_the_real_envoy(tmp_path: Path) -> None:
    DemoIssuer(tmp_path).ensure()
    template = read(asset("envoy/bootstrap.yaml"))

    done = accepted_by_envoy(fill(template, local(tmp_path), "bootstrap.yaml"), tmp_path)

    assert done.returncode == 0, done.stderr


def test_the_compose_bootstrap_is_accepted_by_the_real_envoy(tmp_path: Path) -> None:
    DemoIssuer(tmp_path).ensure()

    done = accepted_by_envoy(rendered().replace(JWKS, str(tmp_path)), tmp_path)

    assert done.returncode == 0, done.stderr


def test_a_bootstrap_that_envoy_refuses_is_noticed(tmp_path: Path) -> None:
    DemoIssuer(tmp_path).ensure()
    template = read(asset("envoy/bootstrap.yaml")).replace("failure_mode_allow", "failure_mode_alow")

    done = accepted_by_envoy(fill(template, local(tmp_path), "bootstrap.yaml"), tmp_path)

    assert done.returncode == 1
    assert "failure_mode_alow" in done.stderr


def test_the_compose_bootstrap_is_made_from_the_one_source() -> None:
    assert (ROOT / "envoy" / "docker-compose.yaml").read_text() == rendered(), "run `make compose`"


@pytest.mark.parametrize("node", ["n", "no", "1", 'a"b', "a: b", "${node}", "x # y", "ä\n"])
def test_a_value_arrives_exactly_whatever_yaml_would_make_of_it(tmp_path: Path, node: str) -> None:
    text = fill(read(asset("envoy/bootstrap.yaml")), replace(local(tmp_path), node=node), "b")

    assert json.loads(as_json(text, "b"))["node"]["id"] == node


def test_the_gate_fails_closed_and_keeps_entries_while_alslog_is_away(tmp_path: Path) -> None:
    text = fill(read(asset("envoy/bootstrap.yaml")), local(tmp_path), "b")
    content = json.loads(as_json(text, "b"))["static_resources"]
    manager = content["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    authz = manager["http_filters"][1]["typed_config"]
    clusters = {cluster["name"]: cluster for cluster in content["clusters"]}

    assert [f["name"].rpartition(".")[2] for f in manager["http_filters"]] == [
        "jwt_authn",
        "ext_authz",
        "second_lock",
        "header_mutation",
        "router",
    ]
    assert authz["failure_mode_allow"] is False
    assert authz["status_on_error"] == {"code": "ServiceUnavailable"}
    for name in ("extauthz", "alslog"):
        # Nobody is asked who is known to be away, and nobody is left out who is back: without the second one
        # Envoy's threads hear of a change up to a second late, and a flush into the dead alslog is lost.
        assert clusters[name]["common_lb_config"] == {
            "healthy_panic_threshold": {"value": 0},
            "update_merge_window": "0s",
        }
        assert "grpc_health_check" in clusters[name]["health_checks"][0]


ONE, OTHER, TCP = "unix:/run/extauthz.sock", "unix:/run/extauthz-1.sock", "127.0.0.1:9001"


@pytest.mark.parametrize(
    ("addresses", "asked_again"),
    [
        pytest.param([ONE], False, id="one unix socket"),
        pytest.param([ONE, OTHER], True, id="two unix sockets"),
        pytest.param([TCP], True, id="one over TCP"),
        pytest.param([ONE, TCP], True, id="one of each"),
    ],
)
def test_a_check_is_asked_again_where_that_can_help_and_envoy_accepts_it(
    tmp_path: Path, addresses: list[str], asked_again: bool
) -> None:
    DemoIssuer(tmp_path).ensure()
    place = replace(local(tmp_path), extauthz_endpoints=endpoints(addresses))
    text = fill(read(asset("envoy/bootstrap.yaml")), place, "b")

    done = accepted_by_envoy(text, tmp_path)

    content = json.loads(as_json(text, "b"))["static_resources"]
    manager = content["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    policy = manager["http_filters"][1]["typed_config"]["grpc_service"]["retry_policy"]
    assert done.returncode == 0, done.stderr
    assert (policy is not None) == asked_again
    if policy:
        # No try ends before the Check does: one who is slow is not asked twice.
        assert policy["retry_back_off"]["max_interval"] == "2s"
        assert policy["num_retries"] == 3
        assert "previous_hosts" in json.dumps(policy["retry_host_predicate"])


def test_an_unknown_placeholder_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(BootstrapError, match=r"mine\.yaml:2: unknown placeholder \$\{nope\}; known are"):
        fill("a: ${node}\nb: ${nope}\n", local(tmp_path), "mine.yaml")


def test_a_placeholder_of_the_demo_is_unknown_without_the_demo(tmp_path: Path) -> None:
    with pytest.raises(BootstrapError, match="jwks_file"):
        fill("a: ${jwks_file}", replace(local(tmp_path), jwks_file=None), "mine.yaml")


def test_a_comment_may_speak_of_placeholders(tmp_path: Path) -> None:
    assert fill("# ${nope}", local(tmp_path), "b") == "# ${nope}"


@pytest.mark.parametrize(("text", "words"), [("a: [", "is not YAML"), ("- 1", "must hold a mapping")])
def test_a_template_that_is_no_bootstrap_is_refused(text: str, words: str) -> None:
    with pytest.raises(BootstrapError, match=words):
        as_json(text, "b")
