"""The decision in a row: CONTRACT.md's table, first match wins, and never an invented allow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct

from access import LedgerReason
from protos.gen import accesslog_pb2 as accesslog

ALLOW = {"effect": "allow", "decision_id": "d", "reason_code": "rule_allow"}
DENY = {"effect": "deny", "decision_id": "d", "reason_code": "no_matching_rule"}
FAILED = {"effect": "deny", "decision_id": "d", "reason_code": "policy_unavailable"}


def entry(details: str, said: dict[str, Any] | None, *, upstream: bool) -> accesslog.HTTPAccessLogEntry:
    made = accesslog.HTTPAccessLogEntry()
    made.response.response_code_details = details
    if upstream:
        made.common_properties.upstream_remote_address.socket_address.address = "10.0.0.2"
    if said is not None:
        struct = Struct()
        struct.update(said)
        made.common_properties.metadata.filter_metadata["envoy.filters.http.ext_authz"].CopyFrom(struct)
    return made


@pytest.mark.parametrize(
    ("details", "said", "upstream", "row"),
    [
        pytest.param("via_upstream", ALLOW, True, ("allow", "rule_allow"), id="allowed"),
        pytest.param("upstream_reset", ALLOW, False, ("allow", "rule_allow"), id="allowed, upstream gone"),
        pytest.param("ext_authz_denied", DENY, False, ("deny", "no_matching_rule"), id="denied"),
        pytest.param(
            "ext_authz_error", FAILED, False, ("error", "policy_unavailable"), id="extauthz says it failed"
        ),
        pytest.param(
            "ext_authz_error", ALLOW, False, ("error", "rule_allow"), id="an error is one whatever was said"
        ),
        pytest.param(
            "ext_authz_error", None, False, ("error", "authz_timeout_or_unreachable"), id="extauthz is silent"
        ),
        pytest.param(
            "ext_authz_error",
            {},
            False,
            ("error", "authz_timeout_or_unreachable"),
            id="extauthz says nothing",
        ),
        pytest.param(
            "ext_authz_invalid", ALLOW, False, ("error", "authz_invalid_response"), id="an invalid answer"
        ),
        pytest.param(
            "ext_authz_invalid", None, False, ("error", "authz_invalid_response"), id="invalid and silent"
        ),
        pytest.param("via_upstream", None, True, ("fail_open", "fail_open"), id="passed undecided"),
        pytest.param("via_upstream", {}, True, ("fail_open", "fail_open"), id="passed on an empty answer"),
        pytest.param(
            "via_upstream",
            {"ext_authz_duration": 1.5},
            True,
            ("fail_open", "fail_open"),
            id="only Envoy's number",
        ),
        pytest.param("route_not_found", None, False, ("not_evaluated", "not_evaluated"), id="no route"),
        pytest.param("", None, False, ("not_evaluated", "not_evaluated"), id="nothing said at all"),
        pytest.param(
            "ext_authz_denied",
            None,
            False,
            ("not_evaluated", "not_evaluated"),
            id="denied without a decision",
        ),
        pytest.param(
            "via_upstream",
            {**ALLOW, "effect": "ALLOW"},
            True,
            ("not_evaluated", "not_evaluated"),
            id="an effect in capitals is none",
        ),
        pytest.param(
            "via_upstream",
            {**ALLOW, "effect": "error"},
            True,
            ("not_evaluated", "not_evaluated"),
            id="an effect that only the ledger may say",
        ),
        pytest.param(
            "via_upstream", {"effect": "yes"}, True, ("fail_open", "fail_open"), id="garbage, and no decision"
        ),
        pytest.param(
            "via_upstream",
            {**ALLOW, "effect": True},
            True,
            ("not_evaluated", "not_evaluated"),
            id="an effect that is no text",
        ),
        pytest.param(
            "xext_authz_error", DENY, False, ("deny", "no_matching_rule"), id="details that only end so"
        ),
    ],
)
def test_the_decision_follows_the_table(
    rows_of: Callable[..., list[dict[str, Any]]],
    details: str,
    said: dict[str, Any] | None,
    upstream: bool,
    row: tuple[str, str],
) -> None:
    (found,) = rows_of(entry(details, said, upstream=upstream))

    assert row == (found["decision"], found["reason_code"])


def test_the_ledgers_own_reasons_are_the_cores() -> None:
    assert {
        "authz_timeout_or_unreachable",
        "authz_invalid_response",
        "fail_open",
        "not_evaluated",
    } == {str(reason) for reason in LedgerReason}
