"""gRPC through the gate, with a real client: a refusal is a gRPC status, its row says why."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import grpc
import pytest
from hostile_run import Run
from hostile_stack import HostileStack

GET = "/orders.v1.Orders/GetOrder"


@dataclass(frozen=True)
class Case:
    method: str
    token: str
    code: grpc.StatusCode
    decision: str
    reason_code: str


CASES = [
    pytest.param(Case(GET, "alice", grpc.StatusCode.OK, "allow", "rule_allow"), id="allowed"),
    pytest.param(
        Case(
            "/orders.v1.Orders/Delete", "alice", grpc.StatusCode.PERMISSION_DENIED, "deny", "no_matching_rule"
        ),
        id="no rule",
    ),
    pytest.param(Case(GET, "", grpc.StatusCode.UNAUTHENTICATED, "deny", "unauthenticated"), id="no token"),
    pytest.param(
        Case(GET, "expired", grpc.StatusCode.UNAUTHENTICATED, "deny", "invalid_credential"), id="expired"
    ),
    # gRPC knows no status for a malformed request: HTTP's 400 is INTERNAL to it.
    pytest.param(Case(f"{GET};x", "alice", grpc.StatusCode.INTERNAL, "deny", "bad_path"), id="bad path"),
    pytest.param(
        Case(f"{GET}%2fx", "alice", grpc.StatusCode.INTERNAL, "not_evaluated", "not_evaluated"),
        id="refused by Envoy",
    ),
    pytest.param(
        Case("/nowhere.v1.X/Y", "alice", grpc.StatusCode.UNIMPLEMENTED, "not_evaluated", "not_evaluated"),
        id="no route",
    ),
]


@pytest.mark.parametrize("case", CASES)
def test_a_grpc_client_gets_a_grpc_status_and_leaves_one_row(
    hostile: HostileStack, done: Run, case: Case
) -> None:
    marker = uuid.uuid4().hex
    metadata = [("x-subject", "erin")]
    if case.token:
        metadata.append(("authorization", f"Bearer {done.tokens[case.token]}"))
    with grpc.insecure_channel(hostile.stack.proxy, [("grpc.primary_user_agent", marker)]) as channel:
        call = channel.unary_unary(case.method).future(b"", metadata=metadata, timeout=20)
        code = call.code()
    rows = hostile.stack.rows_of(marker)

    assert code is case.code
    assert [(row["decision"], row["reason_code"]) for row in rows] == [(case.decision, case.reason_code)]
    # What a refused call gets is an HTTP 200 with the status in its trailers.
    assert rows[0]["http_response_status_code"] == 200
    assert rows[0]["network_protocol"] == "http/2"
    seen = [one for one in hostile.upstream.seen if one.value("user-agent").startswith(marker)]
    assert [one.value("x-subject") for one in seen] == (["alice"] if case.decision == "allow" else [])
