"""`check(bytes) -> bytes`: one Check, whole, whatever transport brings it.

Invariants:
- total: any bytes give an answer that says allow, deny or error; nothing is ever raised;
- never empty: Envoy takes an empty answer for "allow";
- allowing only when the policy allowed: every failure on the way is an error_response.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from access import UNKNOWN, AccessRequest, Decision, ReasonCode, uuid7
from access.decision_id import RANDOM_BYTES
from extauthz import wire
from extauthz.decide import decide
from extauthz.identity import identify

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import structlog

    from extauthz.decide import Rules, Snapshot
    from extauthz.identity import IssuerRules

_MALFORMED = "the Check is no CheckRequest"


class Checker:
    """Answers Checks with the policy that `snapshot` gives at that moment. Holds no state of its own."""

    def __init__(
        self,
        issuers: Sequence[IssuerRules],
        rules: Rules,
        snapshot: Callable[[], Snapshot],
        observe: Callable[[ReasonCode, float], None],
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._issuers = tuple(issuers)
        self._rules = rules
        self._snapshot = snapshot
        self._observe = observe
        self._log = log
        # Made before the first Check: an answer that is left when even making one fails.
        self._last_resort = wire.answer_to(
            self._undecided(ReasonCode.ENGINE_ERROR, "no answer could be made"), 0
        )

    def check(self, message: bytes) -> bytes:
        """The serialised CheckResponse to a serialised CheckRequest."""
        started = time.perf_counter_ns()
        try:
            return self._answer(self._decide(message), started)
        except Exception as error:  # noqa: BLE001 - whatever it is, the answer is "I could not decide"
            return self._failed(error, started)

    def refuse(self, reason_code: ReasonCode, reason: str) -> bytes:
        """An answer without a look at the question: too many of them, or one that nobody waits for."""
        started = time.perf_counter_ns()
        try:
            return self._answer(self._undecided(reason_code, reason), started)
        except Exception as error:  # noqa: BLE001 - as in check
            return self._failed(error, started)

    def _decide(self, message: bytes) -> Decision:
        try:
            asked = wire.asked_from(message)
        except wire.WireError:
            return self._undecided(ReasonCode.BAD_REQUEST, _MALFORMED)
        identity = identify(asked.tokens, asked.authorization, self._issuers)
        return decide(asked, identity, self._snapshot(), self._rules, _decision_id())

    def _answer(self, decision: Decision, started: int) -> bytes:
        elapsed = time.perf_counter_ns() - started
        answer = wire.answer_to(decision, elapsed // 1000)
        self._observe(decision.reason_code, (time.perf_counter_ns() - started) / 1e9)
        return answer

    def _failed(self, error: Exception, started: int) -> bytes:
        try:
            self._log.error("a Check failed", error=f"{type(error).__name__}: {error}")
            return self._answer(self._undecided(ReasonCode.ENGINE_ERROR, type(error).__name__), started)
        except Exception:  # noqa: BLE001 - no way of failing may leave Envoy without a denial
            return self._last_resort

    def _undecided(self, reason_code: ReasonCode, reason: str) -> Decision:
        return Decision(
            _decision_id(),
            AccessRequest(UNKNOWN),
            reason_code,
            reason,
            config_version=self._rules.config_version,
        )


def _decision_id() -> str:
    return uuid7(time.time_ns() // 1_000_000, os.urandom(RANDOM_BYTES))
