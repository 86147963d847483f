"""Where a bootstrap and extauthz's identity settings must agree."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from extauthz.identity_settings import IdentitySettings
from gateledger.bootstrap import as_json
from gateledger.compose import rendered
from gateledger.gate_lint import problems

SHIPPED: dict[str, Any] = json.loads(as_json(rendered(), "shipped"))
DEMO: dict[str, Any] = {"issuers": [{"name": "demo"}]}
TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"


def manager(bootstrap: dict[str, Any]) -> dict[str, Any]:
    return bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]


def provider(bootstrap: dict[str, Any]) -> dict[str, Any]:
    return manager(bootstrap)["http_filters"][0]["typed_config"]["providers"]["demo"]


def jwt(bootstrap: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = manager(bootstrap)["http_filters"][0]["typed_config"]
    return found


def rules(bootstrap: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = jwt(bootstrap)["rules"]
    return found


def authz(bootstrap: dict[str, Any]) -> dict[str, Any]:
    return manager(bootstrap)["http_filters"][1]["typed_config"]


def with_tls(bootstrap: dict[str, Any], **context: Any) -> None:
    chain = bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]
    chain["transport_socket"] = {"name": "tls", "typed_config": {"@type": TLS, **context}}


def upstream_tls(bootstrap: dict[str, Any], common: dict[str, Any]) -> None:
    bootstrap["static_resources"]["clusters"][0]["transport_socket"] = {
        "name": "tls",
        "typed_config": {"@type": TLS.replace("Downstream", "Upstream"), "common_tls_context": common},
    }


def found(identity: dict[str, Any], change: Callable[[dict[str, Any]], object]) -> list[str]:
    bootstrap = copy.deepcopy(SHIPPED)
    change(bootstrap)
    return problems(bootstrap, IdentitySettings.model_validate(identity))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(
            lambda b: provider(b).update(header_in_metadata="x"), "header_in_metadata must be", id="key"
        ),
        pytest.param(
            lambda b: provider(b).update(failed_status_in_metadata="x"), "'demo.failed'", id="failures"
        ),
        pytest.param(
            lambda b: provider(b).pop("audiences"), "tokens that were made for others", id="audience"
        ),
        pytest.param(lambda b: provider(b).pop("require_expiration"), "never expire", id="expiry"),
        pytest.param(lambda b: provider(b).pop("from_headers"), "from the query", id="query"),
        pytest.param(
            lambda b: provider(b).update(from_headers=[{"name": "X-T", "value_prefix": ""}]),
            "different places: x-t with '' and authorization with 'Bearer '",
            id="another header",
        ),
        pytest.param(
            lambda b: provider(b)["from_headers"].append({"name": "x-t"}),
            "different places",
            id="one more header",
        ),
        pytest.param(
            lambda b: provider(b)["from_headers"][0].pop("value_prefix"),
            "different places",
            id="another prefix",
        ),
        pytest.param(
            lambda b: provider(b).update(from_params=["t"]),
            "from_params takes tokens from where",
            id="the query",
        ),
        pytest.param(
            lambda b: provider(b).update(from_cookies=["t"]),
            "from_cookies takes tokens from where",
            id="a cookie",
        ),
        pytest.param(
            lambda b: rules(b)[0]["requires"]["requires_any"]["requirements"].pop(0),
            "allow_missing_or_failed without provider_name 'demo'",
            id="a provider that no rule names",
        ),
        pytest.param(
            lambda b: provider(b).update(payload_in_metadata="other", from_headers=[{"name": "x-t"}]),
            "different places",
            id="a payload that nobody reads, and another header",
        ),
        pytest.param(
            lambda b: provider(b).update(payload_in_metadata="other"),
            "header_in_metadata must be",
            id="a payload that nobody reads",
        ),
        pytest.param(
            lambda b: jwt(b).update(
                rules=[{"match": {"prefix": "/"}, "requirement_name": "x"}],
                requirement_map={"x": {"requires_all": {"requirements": [{"allow_missing_or_failed": {}}]}}},
            ),
            "allow_missing_or_failed without provider_name 'demo'",
            id="a requirement by its name",
        ),
        pytest.param(
            lambda b: rules(b)[0].update(requires={"extract_only_without_validation": {}}),
            "tokens that nobody verified",
            id="no verification",
        ),
        pytest.param(
            lambda b: rules(b)[0].update(requires={"allow_missing_or_failed": {}}),
            "allow_missing_or_failed without provider_name 'demo'",
            id="a rule without a provider",
        ),
        pytest.param(
            lambda b: authz(b)["allowed_headers"].update(patterns=[{"exact": ":path"}]),
            "lack 'authorization'",
            id="unseen",
        ),
        pytest.param(
            lambda b: authz(b).update(include_peer_certificate=True),
            "do not agree",
            id="an unexpected certificate",
        ),
        pytest.param(
            lambda b: with_tls(b, require_client_certificate=True, common_tls_context={}),
            "has no CA to verify them by",
            id="any certificate",
        ),
        pytest.param(
            lambda b: with_tls(
                b, common_tls_context={"validation_context": {"trust_chain_verification": "ACCEPT_UNTRUSTED"}}
            ),
            "no CA of yours signed",
            id="untrusted certificates",
        ),
        pytest.param(
            lambda b: with_tls(
                b,
                common_tls_context={
                    "combined_validation_context": {
                        "default_validation_context": {"trust_chain_verification": "ACCEPT_UNTRUSTED"}
                    }
                },
            ),
            "no CA of yours signed",
            id="untrusted certificates, combined",
        ),
        pytest.param(
            lambda b: with_tls(
                b,
                common_tls_context={"validation_context": {"trusted_ca": {}}},
                disable_stateful_session_resumption=True,
            ),
            "resumes sessions",
            id="resumed by tickets",
        ),
        pytest.param(
            lambda b: with_tls(
                b,
                common_tls_context={"validation_context_sds_secret_config": {"name": "ca"}},
                disable_stateless_session_resumption=True,
            ),
            "resumes sessions",
            id="resumed by ids",
        ),
        pytest.param(
            lambda b: with_tls(
                b,
                require_client_certificate=True,
                common_tls_context={"validation_context": {"system_root_certs": {}}},
            ),
            "a listener checks client certificates by system_root_certs",
            id="clients of whatever CA the system knows",
        ),
        pytest.param(
            lambda b: upstream_tls(b, {"validation_context": {"system_root_certs": {}}}),
            "an upstream's certificate is checked by system_root_certs",
            id="an upstream of whatever CA the system knows",
        ),
        pytest.param(
            lambda b: upstream_tls(
                b,
                {"combined_validation_context": {"default_validation_context": {"system_root_certs": {}}}},
            ),
            "an upstream's certificate is checked by system_root_certs",
            id="the same, combined",
        ),
    ],
)
def test_what_lets_a_stranger_in_is_told(change: Callable[[dict[str, Any]], object], words: str) -> None:
    said = found(DEMO, change)

    assert any(words in problem for problem in said), said


@pytest.mark.parametrize(
    ("identity", "words"),
    [
        pytest.param(
            {"client_certificates": {"subject": "cert:{uri}"}}, "do not agree", id="no certificate is shown"
        ),
        pytest.param(
            {
                "api_keys": {
                    "header": "x-host",
                    "subject": "key:{name}",
                    "keys": [{"name": "a", "sha256": "a" * 64}],
                }
            },
            "takes 'x-host' off",
            id="a header that is removed",
        ),
        pytest.param(
            {
                "api_keys": {
                    "header": "x-original-key",
                    "subject": "key:{name}",
                    "keys": [{"name": "a", "sha256": "a" * 64}],
                }
            },
            "takes 'x-original-key' off",
            id="a header that is removed with its kind",
        ),
        pytest.param(
            {"api_keys": {"subject": "key:{name}", "keys": [{"name": "a", "sha256": "a" * 64}]}},
            "lack 'x-api-key'",
            id="no key is shown",
        ),
    ],
)
def test_what_extauthz_waits_for_in_vain_is_told(identity: dict[str, Any], words: str) -> None:
    said = found({"issuers": [{"name": "demo", "subject": "demo:{sub}"}], **identity}, lambda _: None)

    assert any(words in problem for problem in said), said


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda _: None, id="as it ships"),
        pytest.param(lambda b: authz(b).pop("allowed_headers"), id="all headers are shown"),
        pytest.param(
            lambda b: authz(b)["allowed_headers"].update(patterns=[{"prefix": ""}]),
            id="a pattern that is no name",
        ),
        pytest.param(
            lambda b: with_tls(
                b,
                require_client_certificate=True,
                common_tls_context={"validation_context": {"trusted_ca": {}}},
                disable_stateful_session_resumption=True,
                disable_stateless_session_resumption=True,
            ),
            id="certificates of a CA",
        ),
        pytest.param(
            lambda b: with_tls(b, common_tls_context={"tls_certificates": []}),
            id="no certificates are asked for",
        ),
        pytest.param(
            lambda b: upstream_tls(
                b, {"validation_context": {"system_root_certs": {}, "trusted_ca": {"filename": "ca.pem"}}}
            ),
            id="a CA beside the system's",
        ),
        pytest.param(
            lambda b: upstream_tls(
                b,
                {
                    "combined_validation_context": {
                        "default_validation_context": {"system_root_certs": {}},
                        "validation_context_sds_secret_config": {"name": "ca"},
                    }
                },
            ),
            id="a secret that may bring a CA",
        ),
    ],
)
def test_what_is_closed_is_not_complained_of(change: Callable[[dict[str, Any]], object]) -> None:
    assert found(DEMO, change) == []


def test_where_envoy_reads_the_claims_it_may_look_where_it_likes() -> None:
    def payload(bootstrap: dict[str, Any]) -> None:
        del provider(bootstrap)["header_in_metadata"]
        provider(bootstrap).update(payload_in_metadata="demo", from_headers=[{"name": "x-t"}])

    assert not found(DEMO, payload)
