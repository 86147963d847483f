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

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from access import Decision, ReasonCode, plain_path
from access.subject import ANONYMOUS_NAME
from extauthz import wire
from extauthz.decision_ids import DecisionIds

if TYPE_CHECKING:
    from collections.abc import Hashable

    from extauthz.decide import Snapshot
    from extauthz.engine import Engine
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
    "policy_version",
    "config_version",
)
_BY_REQUEST = ("decision_id", "action", "resource", "decide_us")
_KNOWN = frozenset((*_BY_WHO, *_BY_RULE, *_BY_REQUEST))
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


class Kept(Generic[K, V]):
    """A mapping of bounded size: two halves, the older of which goes when the younger is full."""

    def __init__(self, most: int = _MAX_KEPT) -> None:
        self._half = most // 2
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        found = self._young.get(key)
        if found is None and (found := self._old.get(key)) is not None:
            self.keep(key, found)
        return found

    def keep(self, key: K, value: V) -> None:
        if len(self._young) >= self._half:
            self._old, self._young = self._young, {}
        self._young[key] = value

    def __len__(self) -> int:
        return len(self._young) + len(self._old)


@dataclass(slots=True)
class _Who:
    name: str
    roles: tuple[str, ...]
    service: str
    metadata: bytes
    anonymous: bool
    # By reason code: an answer's head, cut at its ids.
    heads: dict[ReasonCode, tuple[bytes, ...]] = field(default_factory=dict)


@dataclass(slots=True)
class _Rule:
    reason_code: ReasonCode
    metadata: bytes


class Familiar:
    """Answers what it can; learns from the general way's answers."""

    def __init__(self, attributes: tuple[str, ...], *, able: bool) -> None:
        # Without these four and nothing else nothing is familiar.
        self._order = tuple(_ASKED.index(name) for name in attributes if name in _ASKED)
        self._able = able and len(self._order) == len(attributes)
        self._who: Kept[Who, _Who] = Kept()
        self._fine: Kept[tuple[str, str], bytes] = Kept(1_024)
        # A policy's version and its rules, read at once: threads may answer while a new policy is learned. Not the
        # engine, which would live as long as this does (extauthz.engine.release).
        self._policy: tuple[str, Kept[tuple[bool, int | None, bool], _Rule]] = ("", Kept())

    def answered(
        self, usual: Usual, snapshot: Snapshot, started_ns: int
    ) -> tuple[bytes, bytes, ReasonCode] | None:
        """The answer, its journal entry and its reason; None where it has to come the general way.

        Raises what the engine raises.
        """
        key, method, host, target, request_id = usual
        who = self._who.get(key)
        action = self._fine.get((method, host))
        engine = snapshot.engine
        learned_of, rules = self._policy
        path = plain_path(target)
        if who is None or action is None or path is None or engine is None or engine.version != learned_of:
            return None
        values: tuple[str, ...] = (who.name, who.service, path, method)
        if self._order != _IN_ORDER:
            values = tuple([values[place] for place in self._order])
        verdict = engine.enforce(*values, roles=who.roles)
        rule = rules.get((verdict.allowed, verdict.line, who.anonymous))
        head = who.heads.get(rule.reason_code) if rule is not None else None
        if rule is None or head is None:
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
                rule.metadata,
                _DECIDE_US[took] if took < len(_DECIDE_US) else wire.metadata_entry("decide_us", str(took)),
            )
        )
        answer = wire.with_metadata(name.join(head), metadata)
        return answer, wire.journal_entry(metadata, request_id, now), rule.reason_code

    def learn(self, usual: Usual, decision: Decision, answered: Answered, engine: Engine | None) -> None:
        """Keep what the general way's answer to a usual Check can say of others."""
        said = wire.metadata_of(decision, 0)
        if not self._able or engine is None or decision.reason_code not in _POLICY_DECIDED:
            return
        key, method, host, target, _ = usual
        if said.keys() != _KNOWN or decision.policy_version != engine.version or not plain_path(target):
            return
        head = tuple(answered.head.split(decision.decision_id.encode()))
        if len(head) < 2:
            return
        learned_of, rules = self._policy
        if engine.version != learned_of:
            rules = Kept()
            self._policy = (engine.version, rules)
        subject = decision.request.subject
        who = self._who.get(key)
        if who is None:
            anonymous = subject.name == ANONYMOUS_NAME
            who = _Who(
                subject.name, subject.request_roles, said["service"], _entries(said, _BY_WHO), anonymous
            )
            self._who.keep(key, who)
        who.heads[decision.reason_code] = head
        self._fine.keep((method, host), _entries(said, ("action",)))
        rule = _Rule(decision.reason_code, _entries(said, _BY_RULE))
        rules.keep((decision.allowed, decision.rule_line, who.anonymous), rule)


def _entries(said: dict[str, str], names: tuple[str, ...]) -> bytes:
    return b"".join(wire.metadata_entry(name, said[name]) for name in names)
