from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from extauthz.identity_settings import IdentitySettings, Issuer
from gateledger.bootstrap import as_json
from gateledger.compose import rendered
from gateledger.gate_lint import problems

DEMO = IdentitySettings(issuers=(Issuer(name="demo"),))
SHIPPED: dict[str, Any] = json.loads(as_json(rendered(), "shipped"))


def manager(bootstrap: dict[str, Any]) -> dict[str, Any]:
    return bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]


def authz(bootstrap: dict[str, Any]) -> dict[str, Any]:
    return manager(bootstrap)["http_filters"][1]


def cluster(bootstrap: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in bootstrap["static_resources"]["clusters"] if one["name"] == name)


def routes(bootstrap: dict[str, Any]) -> list[dict[str, Any]]:
    return manager(bootstrap)["route_config"]["virtual_hosts"][0]["routes"]


def nobodys() -> dict[str, Any]:
    route = {"match": {"prefix": "/"}, "route": {"cluster": "upstream"}}
    return {
        "name": "route",
        "typed_config": {"@type": "type.googleapis.com/envoy.config.route.v3.Route", **route},
    }


def disable_on_a_route(bootstrap: dict[str, Any]) -> None:
    manager(bootstrap)["route_config"]["virtual_hosts"][0]["routes"][0]["typed_per_filter_config"] = {
        "envoy.filters.http.ext_authz": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute",
            "disabled": True,
        }
    }


def test_the_shipped_bootstrap_leaves_nothing_open() -> None:
    assert problems(SHIPPED, DEMO) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(
            lambda b: b["static_resources"]["clusters"].pop(1), "no cluster 'extauthz'", id="cluster"
        ),
        pytest.param(lambda b: b.pop("static_resources"), "no HTTP connection manager", id="nothing"),
        pytest.param(lambda b: manager(b)["http_filters"].pop(1), "no ext_authz filter", id="no ext_authz"),
        pytest.param(
            lambda b: authz(b)["typed_config"].update(failure_mode_allow=True),
            "failure_mode_allow",
            id="fails open",
        ),
        pytest.param(lambda b: authz(b).update(disabled=True), "filter is disabled", id="disabled"),
        pytest.param(
            lambda b: (
                authz(b)["typed_config"].pop("deny_at_disable"),
                authz(b)["typed_config"].update(filter_enabled={}),
            ),
            "without deny_at_disable",
            id="switchable",
        ),
        pytest.param(
            lambda b: authz(b)["typed_config"].update(
                deny_at_disable={"default_value": {"value": False}}, filter_enabled={}
            ),
            "without deny_at_disable",
            id="switchable, denied perhaps",
        ),
        pytest.param(
            lambda b: (
                authz(b)["typed_config"].pop("deny_at_disable"),
                authz(b)["typed_config"].update(filter_enabled_metadata={}),
            ),
            "filter_enabled_metadata without deny_at_disable",
            id="switchable by metadata",
        ),
        pytest.param(disable_on_a_route, "a route disables ext_authz", id="route"),
        pytest.param(
            lambda b: manager(b)["route_config"]["virtual_hosts"][0].update(
                typed_per_filter_config={
                    "envoy.filters.http.ext_authz": {
                        "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig",
                        "disabled": True,
                    }
                }
            ),
            "a route disables ext_authz",
            id="host, whatever the filter",
        ),
        pytest.param(
            lambda b: manager(b)["access_log"][0].update(filter={"not_health_check_filter": {}}),
            "has a filter",
            id="half a log",
        ),
        pytest.param(lambda b: manager(b).pop("access_log"), "no gRPC access log", id="no log"),
        pytest.param(lambda b: manager(b).pop("normalize_path"), "normalize_path must be true", id="paths"),
        pytest.param(lambda b: manager(b).update(stat_prefix="mine"), "must be 'gate'", id="stat prefix"),
        pytest.param(
            lambda b: cluster(b, "extauthz")["common_lb_config"].pop("update_merge_window"),
            "cluster 'extauthz': common_lb_config.update_merge_window must be 0s",
            id="extauthz, late news",
        ),
        pytest.param(
            lambda b: cluster(b, "alslog").pop("common_lb_config"),
            "cluster 'alslog': common_lb_config.update_merge_window must be 0s",
            id="alslog, late news",
        ),
        pytest.param(
            lambda b: cluster(b, "alslog")["common_lb_config"].update(update_merge_window="0.5s"),
            "lose entries without a counter",
            id="alslog, news half a second late",
        ),
        pytest.param(lambda b: routes(b)[2].pop("metadata"), "route 'orders' leads", id="nobody's route"),
        pytest.param(
            lambda b: routes(b)[3].update(metadata={"filter_metadata": {"gateledger": {"service": ""}}}),
            "route 'admin' leads",
            id="a route of a service without a name",
        ),
        pytest.param(
            lambda b: routes(b).append({"match": {"prefix": "/"}, "route": {"cluster": "upstream"}}),
            "route number 5 leads to an upstream, but names no service",
            id="a route without a name",
        ),
        pytest.param(
            lambda b: manager(b)["route_config"].update(
                virtual_hosts=[{"name": "tree", "matcher": {"on_no_match": {"action": nobodys()}}}]
            ),
            "route number 1 leads",
            id="a tree of routes",
        ),
    ],
)
def test_what_opens_the_gate_is_told(change: Callable[[dict[str, Any]], object], words: str) -> None:
    bootstrap = copy.deepcopy(SHIPPED)
    change(bootstrap)

    assert any(words in problem for problem in problems(bootstrap, DEMO)), problems(bootstrap, DEMO)


@pytest.mark.parametrize(
    "leads_nowhere",
    [
        pytest.param({"direct_response": {"status": 404}}, id="an answer of Envoy's own"),
        pytest.param({"redirect": {"https_redirect": True}}, id="a redirect"),
    ],
)
def test_a_route_that_leads_to_no_upstream_needs_no_service(leads_nowhere: dict[str, Any]) -> None:
    bootstrap = copy.deepcopy(SHIPPED)
    routes(bootstrap).append({"match": {"prefix": "/"}, **leads_nowhere})

    assert problems(bootstrap, DEMO) == []


def test_a_merge_window_of_nothing_is_fine_however_it_is_written() -> None:
    bootstrap = copy.deepcopy(SHIPPED)
    cluster(bootstrap, "alslog")["common_lb_config"]["update_merge_window"] = "0.000s"

    assert problems(bootstrap, DEMO) == []


def test_issuers_and_providers_that_do_not_know_one_another_are_told() -> None:
    found = problems(SHIPPED, IdentitySettings(issuers=(Issuer(name="corporate"),)))

    assert len(found) == 2
    assert "'demo', which the setting extauthz.issuers does not name" in found[0]
    assert "names 'corporate', but jwt_authn has no such provider" in found[1]
