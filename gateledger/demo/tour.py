"""The tour: requests of every kind through the real gate, and the rows that each must leave."""

from __future__ import annotations

import http.client
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateledger.demo.issuer import DemoIssuer


@dataclass(frozen=True, slots=True)
class Step:
    """One request and what has to come of it: the client's status and the row's decision and reason."""

    title: str
    path: str
    status: int
    decision: str
    reason_code: str
    method: str = "GET"
    subject: str = ""
    roles: tuple[str, ...] = ()
    ttl: float = 300.0
    authorization: str = ""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the client saw of a step. `marker` is the user agent under which its row is found."""

    step: Step
    marker: str
    status: int
    body: dict[str, object]


STEPS = (
    Step("Anyone may ask whether orders are up", "/orders/health", 200, "allow", "rule_allow"),
    Step(
        "Alice, a customer, reads an order",
        *("/orders/1", 200, "allow", "rule_allow"),
        subject="alice",
        roles=("customer",),
    ),
    Step(
        "Alice asks for an order by a gRPC-style call",
        *("/orders.v1.Orders/GetOrder", 200, "allow", "rule_allow"),
        method="POST",
        subject="alice",
        roles=("customer",),
    ),
    Step(
        "Alice looks into the admin service: no rule lets her",
        *("/admin/users", 403, "deny", "no_matching_rule"),
        subject="alice",
        roles=("customer",),
    ),
    Step(
        "Bob of support wants payment data: a deny rule overrides",
        *("/orders/1/payment", 403, "deny", "rule_deny"),
        subject="bob",
        roles=("support",),
    ),
    Step(
        "Carol of finance reads invoices",
        *("/billing/invoices", 200, "allow", "rule_allow"),
        subject="carol",
        roles=("finance",),
    ),
    Step(
        "Alice claims to be root by a header: the gate says who she is",
        *("/orders/2", 200, "allow", "rule_allow"),
        subject="alice",
        roles=("customer",),
        headers={"x-subject": "root", "x-roles": "role:admin"},
    ),
    Step("No credentials at all", "/orders/1", 401, "deny", "unauthenticated"),
    Step(
        "A token that expired",
        *("/orders/1", 401, "deny", "invalid_credential"),
        subject="alice",
        roles=("customer",),
        ttl=-120,
    ),
    Step(
        "A token that somebody else signed",
        *("/orders/1", 401, "deny", "invalid_credential"),
        authorization="Bearer eyJhbGciOiJFUzI1NiIsImtpZCI6ImRlbW8ifQ.eyJzdWIiOiJyb290In0.AAAA",
    ),
    Step(
        "A password that nobody checked",
        *("/orders/1", 401, "deny", "invalid_credential"),
        authorization="Basic cm9vdDpyb290",
    ),
    Step(
        "A path that another server could read otherwise",
        *("/orders/1;admin=true", 400, "deny", "bad_path"),
        subject="alice",
        roles=("customer",),
    ),
    Step(
        "A doubly encoded way out",
        *("/orders/%252e%252e/admin/users", 400, "deny", "bad_path"),
        subject="alice",
        roles=("customer",),
    ),
    Step("An encoded slash: Envoy refuses by itself", "/orders%2f1", 400, "not_evaluated", "not_evaluated"),
    Step("A path without a service", "/nowhere", 404, "not_evaluated", "not_evaluated"),
)


def take(
    proxy: str, issuer: DemoIssuer, steps: Sequence[Step], seen: Callable[[Outcome], None]
) -> list[Outcome]:
    """Send each step to the proxy (HOST:PORT), one after the other. Raises OSError when it is gone."""
    outcomes = []
    run = f"{time.time_ns():x}"
    for number, step in enumerate(steps, start=1):
        outcome = _send(proxy, step, issuer, f"gateledger-tour/{run}-{number}")
        seen(outcome)
        outcomes.append(outcome)
    return outcomes


def _send(proxy: str, step: Step, issuer: DemoIssuer, marker: str) -> Outcome:
    headers = {"user-agent": marker, **step.headers}
    if step.subject:
        token = issuer.token(step.subject, step.roles, time.time(), step.ttl)
        headers["authorization"] = f"Bearer {token}"
    elif step.authorization:
        headers["authorization"] = step.authorization
    connection = http.client.HTTPConnection(proxy, timeout=30)
    try:
        connection.request(step.method, step.path, headers=headers)
        answer = connection.getresponse()
        return Outcome(step, marker, answer.status, _body(answer.read()))
    finally:
        connection.close()


def _body(content: bytes) -> dict[str, object]:
    try:
        body = json.loads(content)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
