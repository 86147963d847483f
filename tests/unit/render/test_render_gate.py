"""What a description renders to: routes, clusters, TLS and limits; the real Envoy is the judge of the whole."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

import pytest
from throwaway_ca import ThrowawayCa

from gateledger.bootstrap import BootstrapError
from gateledger.demo.issuer import DemoIssuer
from gateledger.gate_lint import problems
from gateledger.render.build import built
from gateledger.render.gate import Rendered
from gateledger.render.message import check
from gateledger.render.written import as_bytes, write_secrets
from gateledger.services.reading import parse
from gateledger.settings import load
from gateledger.stack.programs import envoy_binary
from gateledger.validation import refusal

SMALL = """\
upstreams: [{name: shop, addresses: ["127.0.0.1:1"]}]
services: [{name: orders, upstream: shop}]
"""
# All that can be said, once.
LARGE = """\
listeners:
  - address: "[::1]:443"
    tls: {certificate: server.pem, key: server-key.pem, client_ca: ca.pem, client_certificate: required}
    trusted_hops: 2
    connection_seconds: 600
  - address: 127.0.0.1:80
upstreams:
  - {name: near, addresses: ["unix:/run/near.sock", "127.0.0.1:1"]}
  - name: far
    addresses: ["far.example.com:443", "10.0.0.1:443"]
    protocol: h2
    connect_timeout_seconds: 0.5
    tls: {sni: far.example.com, ca: ca.pem, san: [far.example.com, "spiffe://x/far", 10.0.0.1], certificate: server.pem, key: server-key.pem}
  - {name: public, addresses: ["public.example.com:443"], tls: {sni: public.example.com}}
services:
  - {name: web, upstream: near, websocket: true, websocket_idle_seconds: 60}
  - {name: api, upstream: far, hosts: [api.example.com], paths: [/v1, /v1/admin, /shop.v1.Shop/], timeout_seconds: 0}
  - {name: admin, upstream: public, hosts: ["*.example.com", api.example.com], paths: [/v1/admin/keys], accepts: [mtls]}
identity:
  issuers:
    - {name: corp, issuer: a, audiences: [x], jwks_file: jwks.json, subject: "corp:{sub}"}
    - name: partner
      issuer: b
      audiences: [x, y]
      jwks_server: {uri: "https://id.example.com:8443/keys", ca: ca.pem}
      subject: "partner:{sub}"
      headers: [{name: x-token, prefix: ""}, {}]
  client_certificates: {subject: "cert:{uri}"}
  api_keys: {header: x-key, subject: "key:{name}", keys: [{name: a, sha256: "%s"}]}
limits: {connections: 7, heap_mib: 128, headers: 50, headers_kib: 32}
extauthz: {addresses: ["10.0.0.9:9001", "10.0.0.10:9001"], tls: {sni: extauthz.internal, ca: ca.pem, certificate: server.pem, key: server-key.pem}}
alslog: {addresses: ["alslog.internal:9002"], tls: {sni: alslog.internal, ca: ca.pem, certificate: server.pem, key: server-key.pem}}
""" % ("a" * 64)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files")
    ca = ThrowawayCa(path)
    ca.write("ca.pem")
    ca.issue("server", "localhost")
    DemoIssuer(path).ensure()
    return path


@functools.cache
def gate(text: str, directory: Path) -> Rendered:
    services = parse(text, "services.yaml", directory)
    return built(load(environ={}), services, directory / "admin.sock", directory / "secrets")


def manager(rendered: Rendered, listener: int = 0) -> dict[str, Any]:
    chains = rendered.bootstrap["static_resources"]["listeners"][listener]["filter_chains"]
    return chains[0]["filters"][0]["typed_config"]


def clusters(rendered: Rendered) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in rendered.bootstrap["static_resources"]["clusters"]}


@pytest.mark.parametrize("text", [pytest.param(SMALL, id="small"), pytest.param(LARGE, id="large")])
def test_the_real_envoy_accepts_it_and_nothing_is_open(directory: Path, text: str) -> None:
    rendered = gate(text, directory)
    write_secrets(directory / "secrets", rendered.secrets)
    file = directory / "gate.json"
    file.write_bytes(as_bytes(rendered.bootstrap))

    assert refusal(envoy_binary(load(environ={})), file) is None
    assert problems(rendered.bootstrap, rendered.identity) == []


def test_the_longest_prefix_of_the_hosts_services_comes_first(directory: Path) -> None:
    hosts = {
        tuple(host["domains"]): [
            (route["name"], route["match"].get("path_separated_prefix") or route["match"].get("prefix"))
            for route in host["routes"]
        ]
        for host in manager(gate(LARGE, directory))["route_config"]["virtual_hosts"]
    }

    web = [("web", "/"), ("web", "/")]
    assert hosts == {
        ("*",): web,
        ("*.example.com",): [("admin", "/v1/admin/keys"), *web],
        ("api.example.com",): [
            ("api", "/shop.v1.Shop/"),
            ("admin", "/v1/admin/keys"),
            ("api", "/v1/admin"),
            ("api", "/v1"),
            *web,
        ],
    }


@pytest.mark.parametrize(
    ("hosts", "host", "expected"),
    [
        pytest.param(
            ["api.example.com", "*.example.com"],
            "api.example.com",
            [("one", "/admin"), ("two", "/admin"), ("one", "/"), ("two", "/")],
            id="a name within a wildcard",
        ),
        pytest.param(
            ["*.eu.example.com", "*.example.com"],
            "*.eu.example.com",
            [("one", "/admin"), ("two", "/admin"), ("one", "/"), ("two", "/")],
            id="a wildcard within a wildcard",
        ),
        pytest.param(
            ["api.example.com", "*.example.com"],
            "*.example.com",
            [("two", "/admin"), ("two", "/")],
            id="the wildcard itself",
        ),
        pytest.param(
            ["example.com", "*.example.com"],
            "example.com",
            [("one", "/admin"), ("one", "/")],
            id="a name beside the wildcard",
        ),
        pytest.param(
            ["notexample.com", "*.example.com"],
            "notexample.com",
            [("one", "/admin"), ("one", "/")],
            id="a name that ends alike",
        ),
    ],
)
def test_a_host_has_what_every_wider_name_claims_behind_its_own(
    directory: Path, hosts: list[str], host: str, expected: list[tuple[str, str]]
) -> None:
    text = SMALL.replace(
        "services: [{name: orders, upstream: shop}]",
        "services:\n"
        f"  - {{name: two, upstream: shop, hosts: ['{hosts[1]}'], paths: [/, /admin]}}\n"
        f"  - {{name: one, upstream: shop, hosts: ['{hosts[0]}'], paths: [/, /admin]}}\n",
    )
    found = {
        domain: [
            (route["name"], route["match"].get("path_separated_prefix") or route["match"].get("prefix"))
            for route in one["routes"]
        ]
        for one in manager(gate(text, directory))["route_config"]["virtual_hosts"]
        for domain in one["domains"]
    }

    assert found[host] == expected


def test_a_websocket_has_a_route_without_a_time_limit_before_the_one_with(directory: Path) -> None:
    (only,) = manager(gate(SMALL.replace("upstream: shop}", "upstream: shop, websocket: true}"), directory))[
        "route_config"
    ]["virtual_hosts"]
    socket, plain = only["routes"]

    assert socket["match"]["headers"] == [
        {"name": "upgrade", "string_match": {"exact": "websocket", "ignore_case": True}}
    ]
    assert socket["route"]["timeout"] == "0s"
    assert socket["route"]["upgrade_configs"] == [{"upgrade_type": "websocket"}]
    assert "upgrade_configs" not in plain["route"]
    assert plain["route"]["timeout"] == "15s"


def test_every_route_carries_its_services_name_and_none_switches_the_check_off(directory: Path) -> None:
    for host in manager(gate(LARGE, directory))["route_config"]["virtual_hosts"]:
        for route in host["routes"]:
            assert route["metadata"]["filter_metadata"] == {"gateledger": {"service": route["name"]}}
            assert "typed_per_filter_config" not in route


def test_each_listener_has_what_is_said_of_it(directory: Path) -> None:
    rendered = gate(LARGE, directory)
    tls, plain = rendered.bootstrap["static_resources"]["listeners"]

    assert [tls["name"], plain["name"]] == ["gate", "gate-2"]
    assert tls["address"]["socket_address"] == {"address": "::1", "port_value": 443}
    context = tls["filter_chains"][0]["transport_socket"]["typed_config"]
    assert context["require_client_certificate"] is True
    assert context["disable_stateless_session_resumption"] is True
    assert context["disable_stateful_session_resumption"] is True
    assert context["common_tls_context"]["tls_params"]["tls_minimum_protocol_version"] == "TLSv1_2"
    assert "transport_socket" not in plain["filter_chains"][0]
    assert manager(rendered)["scheme_header_transformation"] == {"scheme_to_overwrite": "https"}
    assert manager(rendered, 1)["scheme_header_transformation"] == {"scheme_to_overwrite": "http"}
    assert (manager(rendered)["xff_num_trusted_hops"], manager(rendered, 1)["xff_num_trusted_hops"]) == (2, 0)
    assert manager(rendered)["use_remote_address"] is True


def test_the_x_forwarded_for_of_a_proxy_is_left_only_where_it_is_trusted(directory: Path) -> None:
    rendered = gate(LARGE, directory)
    trusted, plain = (
        manager(rendered, number)["early_header_mutation_extensions"][0]["typed_config"]["mutations"]
        for number in (0, 1)
    )
    all_of_them = {"remove_on_match": {"key_matcher": {"prefix": "x-forwarded-"}}}

    assert all_of_them in plain
    assert all_of_them not in trusted
    (pattern,) = (
        one["remove_on_match"]["key_matcher"]["safe_regex"]["regex"] for one in trusted if one not in plain
    )
    relatives = "by f fo for2 for-x forward fox foo of host proto protocol tls-client-cert access-token user"
    assert not re.fullmatch(pattern, "x-forwarded-for")
    assert all(re.fullmatch(pattern, f"x-forwarded-{one}") for one in ("", *relatives.split()))
    assert not re.fullmatch(pattern, "x-subject")


def test_credentials_are_shown_to_extauthz_alone(directory: Path) -> None:
    rendered = gate(LARGE, directory)
    authz = {one["name"]: one for one in manager(rendered)["http_filters"]}["envoy.filters.http.ext_authz"]
    shown = {pattern["exact"] for pattern in authz["typed_config"]["allowed_headers"]["patterns"]}

    assert {"authorization", "x-token", "x-key"} <= shown
    assert "cookie" not in shown
    assert authz["typed_config"]["include_peer_certificate"] is True
    logged = json.dumps(manager(rendered)["access_log"])
    assert not [name for name in ("x-token", "x-key", "authorization") if name in logged]


def test_a_signature_is_remembered_only_where_keys_cannot_be_withdrawn(directory: Path) -> None:
    filters = {one["name"]: one for one in manager(gate(LARGE, directory))["http_filters"]}
    providers = filters["envoy.filters.http.jwt_authn"]["typed_config"]["providers"]

    assert "jwt_cache_config" in providers["corp"]
    assert "jwt_cache_config" not in providers["partner"]


def test_without_issuers_no_token_is_looked_for(directory: Path) -> None:
    names = [one["name"] for one in manager(gate(SMALL, directory))["http_filters"]]

    assert "envoy.filters.http.jwt_authn" not in names
    assert "envoy.filters.http.ext_authz" in names


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("near", "STATIC"),
        ("far", "STRICT_DNS"),
        ("public", "STRICT_DNS"),
        ("jwks.partner", "STRICT_DNS"),
        ("extauthz", "STATIC"),
        ("alslog", "STRICT_DNS"),
    ],
)
def test_a_cluster_is_found_by_name_only_where_it_has_one(directory: Path, name: str, kind: str) -> None:
    # STATIC is the default, which is not written out.
    assert clusters(gate(LARGE, directory))[name].get("type", "STATIC") == kind


@pytest.mark.parametrize("name", ["far", "public", "jwks.partner", "extauthz", "alslog"])
def test_whoever_is_reached_by_tls_is_verified_by_a_ca_and_by_name(directory: Path, name: str) -> None:
    rendered = gate(LARGE, directory)
    context = clusters(rendered)[name]["transport_socket"]["typed_config"]
    secrets = {file.path.stem: file.content["resources"][0] for file in rendered.secrets}
    validation = secrets[f"{name}.ca"]["validation_context"]

    assert context["sni"]
    assert context["common_tls_context"]["validation_context_sds_secret_config"]["name"] == f"{name}.ca"
    assert validation["trusted_ca"]["filename"]
    assert validation["match_typed_subject_alt_names"]
    assert "trust_chain_verification" not in validation


def test_names_of_each_kind_are_matched_as_what_they_are(directory: Path) -> None:
    secrets = {file.path.stem: file.content["resources"][0] for file in gate(LARGE, directory).secrets}

    assert [
        (one["san_type"], one["matcher"]["exact"])
        for one in secrets["far.ca"]["validation_context"]["match_typed_subject_alt_names"]
    ] == [("DNS", "far.example.com"), ("URI", "spiffe://x/far"), ("IP_ADDRESS", "10.0.0.1")]


def test_what_the_two_services_need_stays_whatever_reaches_them(directory: Path) -> None:
    small, large = clusters(gate(SMALL, directory)), clusters(gate(LARGE, directory))
    where = {"load_assignment", "type", "dns_lookup_family", "transport_socket"}

    for name in ("extauthz", "alslog"):
        assert {k: v for k, v in small[name].items() if k not in where} == {
            k: v for k, v in large[name].items() if k not in where
        }


@pytest.mark.parametrize(
    ("text", "asked_again"),
    [
        pytest.param(SMALL, False, id="this machine's one unix socket"),
        pytest.param(LARGE, True, id="several of the description's"),
        pytest.param(
            SMALL + "extauthz: {addresses: ['unix:/run/x.sock']}\n", False, id="its one unix socket"
        ),
        pytest.param(SMALL + "extauthz: {addresses: ['127.0.0.1:1']}\n", True, id="its one over TCP"),
    ],
)
def test_a_check_is_asked_again_where_the_described_extauthz_may_be_reached_anew(
    directory: Path, text: str, asked_again: bool
) -> None:
    rendered = gate(text, directory)

    for listener in range(len(rendered.bootstrap["static_resources"]["listeners"])):
        authz = next(
            one for one in manager(rendered, listener)["http_filters"] if one["name"].endswith("ext_authz")
        )
        assert bool(authz["typed_config"]["grpc_service"]["retry_policy"]) == asked_again


def test_the_limits_are_those_of_the_description(directory: Path) -> None:
    rendered = gate(LARGE, directory)
    monitors = {
        one["name"].rpartition(".")[2]: one["typed_config"]
        for one in rendered.bootstrap["overload_manager"]["resource_monitors"]
    }

    assert monitors["global_downstream_max_connections"]["max_active_downstream_connections"] == 7
    assert monitors["fixed_heap"]["max_heap_size_bytes"] == 128 * 1024 * 1024
    assert manager(rendered)["max_request_headers_kb"] == 32
    assert manager(rendered)["common_http_protocol_options"]["max_headers_count"] == 50
    assert manager(rendered)["common_http_protocol_options"]["max_connection_duration"] == "600s"


def test_nothing_of_the_demo_is_left(directory: Path) -> None:
    text = json.dumps(gate(LARGE, directory).bootstrap)

    assert "demo" not in text
    assert '"upstream"' not in text


@pytest.mark.parametrize(
    ("bootstrap", "words"),
    [
        pytest.param({"nod": {}}, "nod", id="an unknown field"),
        pytest.param({"node": {"id": 3}}, "id", id="another kind"),
        pytest.param(
            {"node": {"metadata": {"@type": "type.googleapis.com/os.path"}}},
            "no type of Envoy's",
            id="a foreign type",
        ),
        pytest.param(
            {"x": {"@type": "type.googleapis.com/envoy.nothing.v3.X"}},
            "does not know this type",
            id="an unknown type",
        ),
    ],
)
def test_what_is_no_bootstrap_is_refused_by_envoys_types(bootstrap: dict[str, Any], words: str) -> None:
    with pytest.raises(BootstrapError, match=words):
        check(bootstrap)
