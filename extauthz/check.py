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
from extauthz.familiar import Familiar
from extauthz.identity import Identities, Identity
from extauthz.usual import usual_from

if TYPE_CHECKING:
    from collections.abc import Callable

    import structlog

    from extauthz.decide import Rules, Snapshot
    from extauthz.identity_settings import IdentitySettings
    from extauthz.usual import Usual

_MALFORMED = "the Check is no CheckRequest"
_UNREADABLE = Identity(UNKNOWN, "the claims of the token cannot be read: nested too deeply")


# An answer, and what the journal is to keep of it: nothing, where not even an answer could be made; then the answer's
# reason code, and when it was begun, in time.perf_counter_ns's. A plain tuple: it is made and taken apart at every Check.
Checked = tuple[bytes, bytes, ReasonCode, int]


class Checker:
    """Answers Checks with the policy that `snapshot` gives at that moment.

    What it remembers of others only makes it quicker. `observe` is told of each answer that is given: its reason code,
    and the nanoseconds that it took.
    """

    def __init__(
        self,
        identity: IdentitySettings,
        rules: Rules,
        snapshot: Callable[[], Snapshot],
        observe: Callable[[ReasonCode, int], None],
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._identities = Identities(identity)
        self._rules = rules
        self._familiar = Familiar(rules.attributes)
        self._snapshot = snapshot
        self.observe = observe
        self._log = log
        # Made before the first Check: an answer that is left when even making one fails.
        self._last_resort = wire.answer_to(
            self._undecided(ReasonCode.ENGINE_ERROR, "no answer could be made"), 0
        ).answer

    def check(self, message: bytes) -> bytes:
        """The serialised CheckResponse to a serialised CheckRequest."""
        return self.told(self.checked(message))

    def checked(self, message: bytes) -> Checked:
        """As `check`, for who has to keep the decision before it is told."""
        started = time.perf_counter_ns()
        try:
            usual = usual_from(message)
            snapshot = self._snapshot()
            if usual and (found := self._familiar.answered(usual, snapshot, started)):
                return found
            return self._in_general(message, usual, snapshot, started)
        except Exception as error:  # noqa: BLE001 - whatever it is, the answer is "I could not decide"
            return self._failed(error, started, _request_id(message))

    def _in_general(self, message: bytes, usual: Usual | None, snapshot: Snapshot, started: int) -> Checked:
        decision, request_id = self._decide(message, snapshot)
        checked, answered = self._answered(decision, started, request_id)
        if usual:
            self._familiar.learn(usual, decision, answered, snapshot.engine)
        return checked

    def refused(self, reason_code: ReasonCode, reason: str, message: bytes = b"") -> Checked:
        """An answer without a look at the question: too many of them, or one that nobody waits for.

        The message, where there is time to look, only for the request's id.
        """
        started = time.perf_counter_ns()
        request_id = _request_id(message)
        try:
            return self._answer(self._undecided(reason_code, reason), started, request_id)
        except Exception as error:  # noqa: BLE001 - as in checked
            return self._failed(error, started, request_id)

    def told(self, checked: Checked) -> bytes:
        """The answer, counted as given."""
        answer, _, reason_code, started = checked
        self.observe(reason_code, time.perf_counter_ns() - started)
        return answer

    def _decide(self, message: bytes, snapshot: Snapshot) -> tuple[Decision, str]:
        try:
            asked = wire.asked_from(message, self._identities.headers)
        except wire.WireError:
            return self._undecided(ReasonCode.BAD_REQUEST, _MALFORMED), ""
        identity = _UNREADABLE if asked.unreadable else self._identities.identify(asked)
        decision = decide(asked, identity, snapshot, self._rules, _decision_id())
        return decision, asked.request_id

    def _answer(self, decision: Decision, started: int, request_id: str) -> Checked:
        return self._answered(decision, started, request_id)[0]

    def _answered(self, decision: Decision, started: int, request_id: str) -> tuple[Checked, wire.Answered]:
        elapsed = time.perf_counter_ns() - started
        answered = wire.answer_to(decision, elapsed // 1000, self._identities.headers)
        entry = wire.journal_entry(answered.metadata, request_id.encode("utf-8", "replace"), time.time_ns())
        return (answered.answer, entry, decision.reason_code, started), answered

    def _failed(self, error: Exception, started: int, request_id: str) -> Checked:
        try:
            self._log.error("a Check failed", error=f"{type(error).__name__}: {error}")
            undecided = self._undecided(ReasonCode.ENGINE_ERROR, type(error).__name__)
            return self._answer(undecided, started, request_id)
        except Exception:  # noqa: BLE001 - no way of failing may leave Envoy without a denial
            return self._last_resort, b"", ReasonCode.ENGINE_ERROR, started

    def _undecided(self, reason_code: ReasonCode, reason: str) -> Decision:
        return Decision(
            _decision_id(),
            AccessRequest(UNKNOWN),
            reason_code,
            reason,
            config_version=self._rules.config_version,
        )


def _request_id(message: bytes) -> str:
    """The request's id, if the message says one; for answers that are not about the question."""
    try:
        return wire.asked_from(message).request_id if message else ""
    except Exception:  # noqa: BLE001 - an id is worth nothing beside an answer
        return ""


def _decision_id() -> str:
    return uuid7(time.time_ns() // 1_000_000, os.urandom(RANDOM_BYTES))
