"""A thousand requests of every kind at once: their rows agree one by one with what the clients saw."""

from __future__ import annotations

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from stack_process import StackProcess, eventually

REQUESTS = 1000
SEED = 20261123


@dataclass(frozen=True)
class Kind:
    path: str
    status: int
    decision: str
    reason_code: str
    method: str = "GET"
    subject: str = ""
    role: str = ""
    ttl: float = 600


KINDS = [
    Kind("/orders/health", 200, "allow", "rule_allow"),
    Kind("/orders/{n}", 200, "allow", "rule_allow", subject="alice", role="customer"),
    Kind("/orders.v1.Orders/GetOrder", 200, "allow", "rule_allow", "POST", "alice", "customer"),
    Kind("/billing/invoices", 200, "allow", "rule_allow", subject="carol", role="finance"),
    Kind("/admin/users", 403, "deny", "no_matching_rule", subject="alice", role="customer"),
    Kind("/orders/{n}/payment", 403, "deny", "rule_deny", subject="bob", role="support"),
    Kind("/orders/{n}", 401, "deny", "unauthenticated"),
    Kind("/orders/{n}", 401, "deny", "invalid_credential", subject="alice", role="customer", ttl=-120),
    Kind("/orders/{n};x", 400, "deny", "bad_path", subject="alice", role="customer"),
    Kind("/orders%2f{n}", 400, "not_evaluated", "not_evaluated"),
    Kind("/nowhere/{n}", 404, "not_evaluated", "not_evaluated"),
]


def test_a_thousand_mixed_requests_leave_a_thousand_rows_that_agree(stack: StackProcess) -> None:
    chosen = random.Random(SEED).choices(KINDS, k=REQUESTS)
    tokens = {kind: stack.token(kind.subject, kind.role, ttl=kind.ttl) for kind in KINDS if kind.subject}

    def send(number: int) -> int:
        kind = chosen[number]
        headers = {"user-agent": f"mixed-{number}"}
        path = kind.path.format(n=number)
        return stack.ask(path, method=kind.method, token=tokens.get(kind, ""), headers=headers).status

    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(send, range(REQUESTS)))
    rows = eventually(
        lambda: (found := stack.rows("startsWith(user_agent_original, 'mixed-')"))[REQUESTS - 1 :] and found,
        f"{REQUESTS} rows",
    )

    assert [kind.status for kind in chosen] == seen
    assert Counter(f"mixed-{n}" for n in range(REQUESTS)) == Counter(
        row["user_agent_original"] for row in rows
    )
    told = {row["user_agent_original"]: row for row in rows}
    for number, kind in enumerate(chosen):
        row = told[f"mixed-{number}"]
        expected = (kind.status, kind.decision, kind.reason_code, kind.method)
        found = (
            row["http_response_status_code"],
            row["decision"],
            row["reason_code"],
            row["http_request_method"],
        )
        assert expected == found, row
        if kind.decision in ("allow", "deny"):
            assert row["decision_id"]
    assert len({row["decision_id"] for row in rows if row["decision_id"]}) == sum(
        kind.decision != "not_evaluated" for kind in chosen
    )
