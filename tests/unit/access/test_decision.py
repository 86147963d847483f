from __future__ import annotations

import pytest

from access import (
    ANONYMOUS,
    OUTCOMES,
    AccessRequest,
    Answer,
    AuthMethod,
    Decision,
    Effect,
    ReasonCode,
    Subject,
)

# The contract's table, written out once more.
CONTRACT = {
    "rule_allow": ("allow", "ok", 0),
    "rule_deny": ("deny", "denied", 403),
    "no_matching_rule": ("deny", "denied", 403),
    "unauthenticated": ("deny", "denied", 401),
    "invalid_credential": ("deny", "denied", 401),
    "bad_path": ("deny", "denied", 400),
    "bad_request": ("deny", "denied", 400),
    "policy_unavailable": ("deny", "error", 503),
    "engine_error": ("deny", "error", 503),
    "audit_unavailable": ("deny", "error", 503),
    "overloaded": ("deny", "error", 503),
    "deadline_exceeded": ("deny", "error", 503),
}


def test_each_reason_code_becomes_what_the_contract_says() -> None:
    table = {
        code.value: (outcome.effect.value, outcome.answer.value, outcome.status)
        for code, outcome in OUTCOMES.items()
    }

    assert CONTRACT == table
    assert set(CONTRACT) == {code.value for code in ReasonCode}


@pytest.mark.parametrize("code", list(ReasonCode))
def test_only_rule_allow_lets_a_request_pass(code: ReasonCode) -> None:
    decision = Decision("id", AccessRequest(ANONYMOUS), code, "")

    assert (code is ReasonCode.RULE_ALLOW) == decision.allowed
    assert (code is ReasonCode.RULE_ALLOW) == (decision.effect is Effect.ALLOW)
    assert (code is ReasonCode.RULE_ALLOW) == (code.outcome.answer is Answer.OK)


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        pytest.param(ANONYMOUS, ("role:everyone",), id="anonymous"),
        pytest.param(
            Subject("alice", ("role:x",), AuthMethod.JWT),
            ("role:everyone", "role:authenticated", "role:x"),
            id="verified",
        ),
    ],
)
def test_every_request_carries_the_roles_that_all_have(subject: Subject, expected: tuple[str, ...]) -> None:
    assert expected == subject.request_roles
