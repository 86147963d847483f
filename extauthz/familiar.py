"""Checks like ones that were answered before: the same answers, put together from pieces of those.

Invariants, each a test of its name:
- an answer is, byte for byte but for its id and its times, what the general way gives (tests/properties);
- whatever is unusual, or was not seen before, goes the general way, which is where the pieces come from;
- what is kept is bounded, and a new policy forgets what was kept of the old one.

A piece is kept under all that it can depend on. Who asks, as far as Envoy's metadata, the route and whether a token
came say it: subject, roles, service, and an answer's head. Method and host: that they are
fine. The rule that decided: effect, reason, rule and versions. The policy is asked each time.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from access import Decision, ReasonCode, plain_path
from access.subject import ANONYMOUS_NAME
from extauthz import wire
from extauthz.decision_ids import DecisionIds

if TYPE_CHECKING:
    from collections.abc import Hashable

    from extauthz.decide import Snapshot
    from extauthz.engine import Engine, Verdict
    from extauthz.usual import Usual, Who
    from extauthz.wire import Answered

# By what the policy can be asked about a familiar request.
_ASKED = ("subject", "service", "resource", "action")
_IN_ORDER = tuple(range(len(_ASKED)))
_BY_WHO = ("subject", "roles", "auth_method", "auth_issuer", "service")
_BY_RULE = (
    "effect",
    "reason_code",
    "reason",
    "rule",
    "rule_line",
)
_BY_POLICY = ("policy_version", "config_version")
_BY_REQUEST = ("decision_id", "action", "resource", "decide_us")
_KNOWN = frozenset((*_BY_WHO, *_BY_RULE, *_BY_POLICY, *_BY_REQUEST))
_POLICY_DECIDED = frozenset(
    {ReasonCode.RULE_ALLOW, ReasonCode.RULE_DENY, ReasonCode.NO_MATCHING_RULE, ReasonCode.UNAUTHENTICATED}
)
_MAX_KEPT = 8_192
_DECIDE_US = tuple(wire.metadata_entry("decide_us", str(us)) for us in range(1_000))
_ID_ENTRY = wire.metadata_begin("decision_id", 36)
_RESOURCE = tuple(wire.metadata_begin("resource", size) for size in range(512))
_IDS = DecisionIds()

K = TypeVar("K", bound="Hashable")
V = TypeVar("V")


class Kept(dict[K, V | None]):
    """A mapping of bounded size: this is its younger half, and the older one goes when this is full.

    What is not there is None. Made for looking up: what `__getitem__` finds costs no call in Python.
    """

    __slots__ = ("_half", "_old")

    def __init__(self, most: int = _MAX_KEPT) -> None:
        super().__init__()
        self._half = most // 2
        self._old: dict[K, V | None] = {}

    def __missing__(self, key: K) -> V | None:
        found = self._old.get(key)
        if found is not None:
            self.keep(key, found)
        return found

    def keep(self, key: K, value: V) -> None:
        if len(self) >= self._half:
            # Whoever looks meanwhile, on another thread, finds nothing, and asks the general way.
            self._old = dict(self)
            self.clear()
        self[key] = value

    @property
    def size(self) -> int:
        """How many are kept, of which some may be there twice."""
        return len(self) + len(self._old)


@dataclass(slots=True)
class _Who:
    """One who asks. As small as may be: at many users a Check's time goes into memory that no cache holds."""

    name: str
    roles: tuple[str, ...]
    service: str
    metadata: bytes
    anonymous: bool
    # An answer's head, cut at its ids, of one that allows; and of others by reason code.
    allowing: tuple[bytes, ...] | None = None
    others: dict[ReasonCode, tuple[bytes, ...]] | None = None


@dataclass(slots=True)
class _Rule:
    # Not for reading: as long as it is kept no other verdict has its id.
    verdict: Verdict
    reason_code: ReasonCode
    metadata: bytes


@dataclass(slots=True)
class _Policy:
    """What is known of one policy, and of its rules, by their verdicts' ids: for anonymous, and for others."""

    version: str = ""
    versions: bytes = b""
    of_others: Kept[int, _Rule] = field(default_factory=Kept)
    of_anonymous: Kept[int, _Rule] = field(default_factory=Kept)


class Familiar:
    """Answers what it can; learns from the general way's answers."""

    def __init__(self, attributes: tuple[str, ...], *, able: bool) -> None:
        # Without these four and nothing else nothing is familiar.
        self._order = tuple(_ASKED.index(name) for name in attributes if name in _ASKED)
        self._able = able and len(self._order) == len(attributes)
        self._who: Kept[Who, _Who] = Kept()
        self._fine: Kept[tuple[str, str], bytes] = Kept(1_024)
        self._pieces: Kept[bytes, bytes] = Kept(1_024)
        # Read at once: threads may answer while a new policy is learned. Not the engine, which would live as long as
        # this does (extauthz.engine.release).
        self._policy = _Policy()

    def answered(
        self, usual: Usual, snapshot: Snapshot, started_ns: int
    ) -> tuple[bytes, bytes, ReasonCode] | None:
        """The answer, its journal entry and its reason; None where it has to come the general way.

        Raises what the engine raises.
        """
        key, method, host, target, request_id = usual
        who = self._who[key]
        action = self._fine[method, host]
        engine = snapshot.engine
        policy = self._policy
        path = plain_path(target)
        if (
            who is None
            or action is None
            or path is None
            or engine is None
            or engine.version != policy.version
        ):
            return None
        values: tuple[str, ...] = (who.name, who.service, path, method)
        if self._order != _IN_ORDER:
            values = tuple([values[place] for place in self._order])
        verdict = engine.verdict(values, who.roles)
        rule = (policy.of_anonymous if who.anonymous else policy.of_others)[id(verdict)]
        if rule is None:
            return None
        reason_code = rule.reason_code
        if reason_code is ReasonCode.RULE_ALLOW:
            head = who.allowing
        else:
            head = who.others.get(reason_code) if who.others else None
        if head is None:
            return None
        now = time.time_ns()
        name = _IDS.make(now // 1_000_000)
        resource = path.encode()
        size = len(resource)
        took = (time.perf_counter_ns() - started_ns) // 1000
        metadata = b"".join(
            (
                *(_ID_ENTRY, name, who.metadata, action),
                *(
                    _RESOURCE[size] if size < len(_RESOURCE) else wire.metadata_begin("resource", size),
                    resource,
                ),
                *(rule.metadata, policy.versions),
                _DECIDE_US[took] if took < len(_DECIDE_US) else wire.metadata_entry("decide_us", str(took)),
            )
        )
        answer = wire.with_metadata(name.join(head), metadata)
        return answer, wire.journal_entry(metadata, request_id, now), reason_code

    def learn(self, usual: Usual, decision: Decision, answered: Answered, engine: Engine | None) -> None:
        """Keep what the general way's answer to a usual Check can say of others."""
        said = wire.metadata_of(decision, 0)
        if not self._able or engine is None or decision.reason_code not in _POLICY_DECIDED:
            return
        key, method, host, target, _ = usual
        path = plain_path(target)
        if said.keys() != _KNOWN or decision.policy_version != engine.version or path is None:
            return
        head = tuple(answered.head.split(decision.decision_id.encode()))
        if len(head) < 2:
            return
        if engine.version != self._policy.version:
            self._policy = _Policy(engine.version, _entries(said, _BY_POLICY))
        who = self._who[key]
        if who is None:
            who = _who(said, decision)
            self._who.keep((key[0], self._one(key[1]), key[2]), who)
        head = tuple([self._one(part) for part in head])
        if decision.reason_code is ReasonCode.RULE_ALLOW:
            who.allowing = head
        else:
            who.others = {**(who.others or {}), decision.reason_code: head}
        self._fine.keep((method, host), _entries(said, ("action",)))
        self._learn_rule(said, decision, engine)

    def _one(self, piece: bytes) -> bytes:
        """The same object for equal pieces, as most are, whoever asks."""
        found = self._pieces[piece]
        if found is None:
            found = piece
            self._pieces.keep(piece, piece)
        return found

    def _learn_rule(self, said: dict[str, str], decision: Decision, engine: Engine) -> None:
        request = decision.request
        asked = (request.subject.name, request.service, request.resource, request.action)
        verdict = engine.verdict(tuple(asked[place] for place in self._order), request.subject.request_roles)
        if (verdict.allowed, verdict.line) != (decision.allowed, decision.rule_line):
            return
        rule = _Rule(verdict, decision.reason_code, _entries(said, _BY_RULE))
        anonymous = request.subject.name == ANONYMOUS_NAME
        rules = self._policy.of_anonymous if anonymous else self._policy.of_others
        rules.keep(id(verdict), rule)


def _who(said: dict[str, str], decision: Decision) -> _Who:
    subject = decision.request.subject
    roles = tuple([sys.intern(role) for role in subject.request_roles])
    metadata = _entries(said, _BY_WHO)
    return _Who(subject.name, roles, sys.intern(said["service"]), metadata, subject.name == ANONYMOUS_NAME)


def _entries(said: dict[str, str], names: tuple[str, ...]) -> bytes:
    return b"".join(wire.metadata_entry(name, said[name]) for name in names)
