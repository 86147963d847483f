"""The answer, why it is so, and what it becomes for the client. One table, as the contract has it."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from access.request import AccessRequest


class Effect(enum.StrEnum):
    """What a decision does: let the request pass, or not."""

    ALLOW = "allow"
    DENY = "deny"


class Answer(enum.StrEnum):
    """Which of Envoy's three answers a decision becomes. ERROR: "I could not decide"."""

    OK = "ok"
    DENIED = "denied"
    ERROR = "error"


class ReasonCode(enum.StrEnum):
    """Why the decision point decided so. Also the label of the metric, and a column of the ledger."""

    RULE_ALLOW = "rule_allow"
    RULE_DENY = "rule_deny"
    NO_MATCHING_RULE = "no_matching_rule"
    UNAUTHENTICATED = "unauthenticated"
    INVALID_CREDENTIAL = "invalid_credential"
    BAD_PATH = "bad_path"
    BAD_REQUEST = "bad_request"
    POLICY_UNAVAILABLE = "policy_unavailable"
    ENGINE_ERROR = "engine_error"
    AUDIT_UNAVAILABLE = "audit_unavailable"
    OVERLOADED = "overloaded"
    DEADLINE_EXCEEDED = "deadline_exceeded"

    @property
    def outcome(self) -> Outcome:
        return OUTCOMES[self]


class LedgerReason(enum.StrEnum):
    """Reason codes that only the ledger gives: for requests that no decision came with."""

    AUTHZ_TIMEOUT_OR_UNREACHABLE = "authz_timeout_or_unreachable"
    AUTHZ_INVALID_RESPONSE = "authz_invalid_response"
    FAIL_OPEN = "fail_open"
    NOT_EVALUATED = "not_evaluated"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a reason code means. `status` is the client's HTTP status, 0 where the upstream gives it."""

    effect: Effect
    answer: Answer
    status: int


_ALLOWED = Outcome(Effect.ALLOW, Answer.OK, 0)
_FORBIDDEN = Outcome(Effect.DENY, Answer.DENIED, 403)
_UNAUTHORIZED = Outcome(Effect.DENY, Answer.DENIED, 401)
_BAD = Outcome(Effect.DENY, Answer.DENIED, 400)
_UNDECIDED = Outcome(Effect.DENY, Answer.ERROR, 503)

OUTCOMES: Mapping[ReasonCode, Outcome] = {
    ReasonCode.RULE_ALLOW: _ALLOWED,
    ReasonCode.RULE_DENY: _FORBIDDEN,
    ReasonCode.NO_MATCHING_RULE: _FORBIDDEN,
    ReasonCode.UNAUTHENTICATED: _UNAUTHORIZED,
    ReasonCode.INVALID_CREDENTIAL: _UNAUTHORIZED,
    ReasonCode.BAD_PATH: _BAD,
    ReasonCode.BAD_REQUEST: _BAD,
    ReasonCode.POLICY_UNAVAILABLE: _UNDECIDED,
    ReasonCode.ENGINE_ERROR: _UNDECIDED,
    ReasonCode.AUDIT_UNAVAILABLE: _UNDECIDED,
    ReasonCode.OVERLOADED: _UNDECIDED,
    ReasonCode.DEADLINE_EXCEEDED: _UNDECIDED,
}


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision with all that explains it. `rule` is the policy's line as written, if one decided."""

    decision_id: str
    request: AccessRequest
    reason_code: ReasonCode
    reason: str
    rule: str = ""
    rule_line: int | None = None
    policy_version: str = ""
    config_version: str = ""

    @property
    def effect(self) -> Effect:
        return self.reason_code.outcome.effect

    @property
    def allowed(self) -> bool:
        return self.reason_code.outcome.answer is Answer.OK
