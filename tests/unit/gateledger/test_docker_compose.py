"""docker-compose.yml cannot be run everywhere: what can be checked without an engine is checked here."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateledger.compose import place, workers_in
from gateledger.settings import load

ROOT = Path(__file__).resolve().parents[3]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]


@pytest.mark.parametrize("name", SERVICES)
def test_the_environment_of_a_service_holds_known_settings_only(name: str) -> None:
    environment = SERVICES[name].get("environment", {})

    load(environ={key: value for key, value in environment.items() if key.startswith("GATELEDGER_")})


@pytest.mark.parametrize(
    "name", [name for name, one in SERVICES.items() if one.get("command", [""])[0] == "python"]
)
def test_a_module_that_a_service_runs_exists(name: str) -> None:
    module = SERVICES[name]["command"][2]
    spec = importlib.util.find_spec(module)

    assert spec is not None
    if spec.submodule_search_locations is not None:
        assert importlib.util.find_spec(f"{module}.__main__") is not None


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_mounts_and_waits_for_is_declared(name: str) -> None:
    one = SERVICES[name]

    assert set(one.get("depends_on", {})) <= set(SERVICES)
    assert set(one.get("secrets", [])) <= set(COMPOSE["secrets"])
    assert {config["source"] for config in one.get("configs", [])} <= set(COMPOSE["configs"])
    for volume in one.get("volumes", []):
        source = volume.split(":")[0]
        assert source in COMPOSE["volumes"] or (ROOT / source).exists()


def test_only_the_ledger_holds_the_write_credential() -> None:
    assert [name for name, one in SERVICES.items() if "secrets" in one] == ["ledger"]


def test_the_sockets_that_envoy_dials_are_those_that_the_services_serve() -> None:
    settings = load(environ=SERVICES["extauthz"]["environment"])
    bootstrap = (ROOT / "envoy" / "docker-compose.yaml").read_text()

    for address in (*settings.extauthz.addresses, settings.alslog.listen):
        assert f'"{address.removeprefix("unix:")}"' in bootstrap


def test_envoy_dials_as_many_workers_as_docker_compose_says() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    three = text.replace('GATELEDGER_EXTAUTHZ__WORKERS: "1"', 'GATELEDGER_EXTAUTHZ__WORKERS: "3"')
    sockets = [
        one["endpoint"]["address"]["pipe"]["path"] for one in place(workers_in(three)).extauthz_endpoints
    ]

    assert workers_in(text) == 1
    assert sockets == [f"/run/gateledger/extauthz{number}.sock" for number in ("", "-1", "-2")]


def mounts(name: str) -> set[str]:
    return {volume.split(":")[0] for volume in SERVICES[name].get("volumes", [])}


def test_the_guarded_upstream_shares_nothing_with_the_gate_but_a_network() -> None:
    assert mounts("upstream") == set()
    assert SERVICES["upstream"]["networks"] == ["edge"]
    assert [name for name, one in SERVICES.items() if "edge" in one.get("networks", [])] == [
        "envoy",
        "upstream",
    ]


def test_the_issuers_key_is_for_the_issuer_and_the_command_line_alone() -> None:
    assert {name for name in SERVICES if "issuer" in mounts(name)} == {"issuer", "cli"}


def test_no_limit_of_the_auditor_can_be_switched_off() -> None:
    profile = COMPOSE["configs"]["auditor"]["content"]

    for limit in ("max_execution_time", "max_memory_usage", "max_result_bytes", "max_threads"):
        assert f"<{limit}><min>1</min><max>" in profile


def test_the_proxy_is_published_on_loopback() -> None:
    assert all(port.startswith("127.0.0.1:") for one in SERVICES.values() for port in one.get("ports", []))
