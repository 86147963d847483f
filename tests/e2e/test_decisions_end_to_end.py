"""Every kind of request through the real Envoy: what the client sees, and the one row that stays."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from stack_process import StackProcess


@dataclass(frozen=True)
class Case:
    path: str
    status: int
    row: dict[str, object]
    method: str = "GET"
    subject: str = ""
    roles: tuple[str, ...] = ()
    ttl: float = 600
    headers: dict[str, str] = field(default_factory=dict)


CASES = [
    pytest.param(
        Case(
            "/orders/1?page=2&token=secret",
            200,
            {
                "decision": "allow",
                "reason_code": "rule_allow",
                "subject": "alice",
                "subject_roles": ["role:customer"],
                "auth_method": "jwt",
                "service": "orders",
                "action": "GET",
                "resource": "/orders/1",
                "url_path": "/orders/1",
                "url_path_upstream": "/orders/1",
                "url_query": "page=2&token=REDACTED",
                "response_code_details": "via_upstream",
                "upstream_cluster": "upstream",
                "response_flags": [],
            },
            subject="alice",
            roles=("customer",),
        ),
        id="allowed",
    ),
    pytest.param(
        Case(
            "/admin/users",
            403,
            {
                "decision": "deny",
                "reason_code": "no_matching_rule",
                "subject": "alice",
                "service": "admin",
                "rule": "",
                "response_code_details": "ext_authz_denied",
                "response_flags": ["UAEX"],
            },
            subject="alice",
            roles=("customer",),
        ),
        id="no rule",
    ),
    pytest.param(
        Case(
            "/orders/7/payment",
            403,
            {"decision": "deny", "reason_code": "rule_deny", "subject": "bob"},
            subject="bob",
            roles=("support",),
        ),
        id="a deny rule overrides",
    ),
    pytest.param(
        Case(
            "/orders/1",
            401,
            {
                "decision": "deny",
                "reason_code": "unauthenticated",
                "subject": "anonymous",
                "auth_method": "none",
            },
        ),
        id="unauthenticated",
    ),
    pytest.param(
        Case(
            "/orders/1",
            401,
            {"decision": "deny", "reason_code": "invalid_credential"},
            subject="alice",
            roles=("customer",),
            ttl=-120,
        ),
        id="expired token",
    ),
    pytest.param(
        Case(
            "/orders/1",
            401,
            {"decision": "deny", "reason_code": "invalid_credential"},
            headers={"authorization": "Basic cm9vdDpyb290"},
        ),
        id="a scheme that nothing verified",
    ),
    pytest.param(
        Case(
            "/orders.v1.Orders/GetOrder",
            200,
            {"decision": "allow", "resource": "/orders.v1.Orders/GetOrder", "action": "POST"},
            method="POST",
            subject="alice",
            roles=("customer",),
            headers={"content-type": "application/grpc"},
        ),
        id="a gRPC-style path",
    ),
    pytest.param(
        Case(
            "/orders/1;x=1",
            400,
            {"decision": "deny", "reason_code": "bad_path"},
            subject="alice",
            roles=("customer",),
        ),
        id="a path with parameters",
    ),
    pytest.param(
        Case(
            "/nowhere",
            404,
            {
                "decision": "not_evaluated",
                "reason_code": "not_evaluated",
                "response_code_details": "route_not_found",
                "decision_id": "",
                "response_flags": ["NR"],
                "url_path": "/nowhere",
            },
        ),
        id="no route",
    ),
]


@pytest.mark.parametrize("case", CASES)
def test_a_request_gets_its_status_and_leaves_one_row_that_explains_it(
    stack: StackProcess, case: Case
) -> None:
    token = stack.token(case.subject, *case.roles, ttl=case.ttl) if case.subject else ""
    answer = stack.ask(case.path, method=case.method, token=token, headers=case.headers)
    row = stack.row(answer.headers["x-request-id"])

    assert answer.status == case.status
    assert case.row == {name: row[name] for name in case.row}
    assert row["http_response_status_code"] == case.status
    assert row["http_request_method"] == case.method
    assert row["envoy_node"] == "gateledger"
    assert row["log_name"] == "gate"
    assert str(row["client_address"].ipv4_mapped) == "127.0.0.1"
    assert row["entry_type"] == "DownstreamEnd"


@pytest.mark.parametrize("shape", ["Basic cm9vdDpyb290, Bearer {}", "xBearer {}", "Bearer {} x"])
def test_a_header_that_holds_more_than_the_verified_token_is_refused(stack: StackProcess, shape: str) -> None:
    header = shape.format(stack.token("alice", "customer"))
    answer = stack.ask("/orders/1", headers={"authorization": header})

    assert answer.status == 401
    assert answer.json()["reason_code"] == "invalid_credential"


def test_an_answer_of_extauthz_names_its_decision_and_never_the_policy(stack: StackProcess) -> None:
    answer = stack.ask("/admin/users", token=stack.token("alice", "customer"))
    row = stack.row(answer.headers["x-request-id"])

    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-decision-id"] == answer.json()["decision_id"] == row["decision_id"]
    assert answer.json()["reason_code"] == "no_matching_rule"
    assert row["policy_version"] not in answer.body.decode()


def test_envoys_own_answer_carries_the_request_id(stack: StackProcess) -> None:
    answer = stack.ask("/nowhere")

    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_a_refusal_for_want_of_credentials_says_how_to_authenticate(stack: StackProcess) -> None:
    answer = stack.ask("/orders/1")

    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_the_upstream_learns_who_it_is_from_the_gate_alone(stack: StackProcess) -> None:
    forged = {"x-subject": "root", "x-roles": "role:admin", "x-decision-id": "mine"}
    answer = stack.ask("/orders/1", token=stack.token("alice", "customer"), headers=forged)
    row = stack.row(answer.headers["x-request-id"])

    assert answer.json()["you_are"] == "alice"
    assert "role:admin" not in answer.json()["your_roles"]
    assert answer.json()["decision_id"] == row["decision_id"] != "mine"


def test_the_ids_and_addresses_that_a_client_claims_are_not_believed(stack: StackProcess) -> None:
    claimed = "11111111-1111-1111-1111-111111111111"
    headers = {"x-request-id": claimed, "x-forwarded-for": "9.9.9.9"}
    answer = stack.ask("/orders/health", headers=headers)
    row = stack.row(answer.headers["x-request-id"])

    assert answer.headers["x-request-id"] != claimed
    assert "9.9.9.9" not in str(row["client_address"])


def test_the_policy_that_decided_can_be_read_from_the_ledger(stack: StackProcess) -> None:
    answer = stack.ask("/orders/1", token=stack.token("alice", "customer"))
    row = stack.row(answer.headers["x-request-id"])
    with stack.reader() as client:
        policies = client.query(
            "SELECT policy FROM audit.policies WHERE policy_version = {v:String}",
            parameters={"v": row["policy_version"]},
        ).result_rows

    assert len(policies) == 1
    line = policies[0][0].splitlines()[row["rule_line"] - 1]
    assert [part.strip() for part in line.split(",")] == [part.strip() for part in row["rule"].split(",")]
