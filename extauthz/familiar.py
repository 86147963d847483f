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

import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from access import Decision, ReasonCode, plain_path
from access.subject import ANONYMOUS_NAME
from extauthz import wire

if TYPE_CHECKING:
    from collections.abc import Hashable

    from extauthz.decide import Snapshot
    from extauthz.engine import Engine
    from extauthz.wire import Answered, Usual

# By what the policy can be asked about a familiar request.
_ASKED = ("subject", "service", "resource", "action")
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
# An id's entry up to the id, and after it.
_ID_BYTES = 36
_ID_ENTRY = wire.metadata_entry("decision_id", "0" * _ID_BYTES)[:-_ID_BYTES]

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
        self._who: Kept[tuple[bytes, bytes, bool], _Who] = Kept()
        self._fine: Kept[tuple[str, str], bytes] = Kept(1_024)
        # A policy's version and its rules, read at once: threads may answer while a new policy is learned. Not the
        # engine, which would live as long as this does (extauthz.engine.release).
        self._policy: tuple[str, Kept[tuple[bool, int | None, bool], _Rule]] = ("", Kept())
        self._ms = 0
        self._ms_text = ""

    def answered(
        self, usual: Usual, snapshot: Snapshot, started_ns: int
    ) -> tuple[Answered, ReasonCode] | None:
        """The answer; None where it has to come the general way. Raises what the engine raises."""
        who = self._who.get(usual.who)
        action = self._fine.get((usual.method, usual.host))
        engine = snapshot.engine
        learned_of, rules = self._policy
        path = plain_path(usual.target)
        if who is None or action is None or path is None or engine is None or engine.version != learned_of:
            return None
        values = (who.name, who.service, path, usual.method)
        verdict = engine.enforce(*[values[place] for place in self._order], roles=who.roles)
        rule = rules.get((verdict.allowed, verdict.line, who.anonymous))
        head = who.heads.get(rule.reason_code) if rule is not None else None
        if rule is None or head is None:
            return None
        now = time.time_ns()
        name = self._decision_id(now // 1_000_000)
        took = (time.perf_counter_ns() - started_ns) // 1000
        metadata = b"".join(
            (
                _ID_ENTRY,
                name,
                who.metadata,
                action,
                wire.metadata_entry("resource", path),
                rule.metadata,
                _DECIDE_US[took] if took < 1_000 else wire.metadata_entry("decide_us", str(took)),
            )
        )
        sealed = name.join(head)
        return wire.Answered(wire.with_metadata(sealed, metadata), metadata, sealed), rule.reason_code

    def learn(self, usual: Usual, decision: Decision, answered: Answered, engine: Engine | None) -> None:
        """Keep what the general way's answer to a usual Check can say of others."""
        said = wire.metadata_of(decision, 0)
        if not self._able or engine is None or decision.reason_code not in _POLICY_DECIDED:
            return
        if said.keys() != _KNOWN or decision.policy_version != engine.version or not plain_path(usual.target):
            return
        head = tuple(answered.head.split(decision.decision_id.encode()))
        if len(head) < 2:
            return
        learned_of, rules = self._policy
        if engine.version != learned_of:
            rules = Kept()
            self._policy = (engine.version, rules)
        subject = decision.request.subject
        who = self._who.get(usual.who)
        if who is None:
            anonymous = subject.name == ANONYMOUS_NAME
            who = _Who(
                subject.name, subject.request_roles, said["service"], _entries(said, _BY_WHO), anonymous
            )
            self._who.keep(usual.who, who)
        who.heads[decision.reason_code] = head
        self._fine.keep((usual.method, usual.host), _entries(said, ("action",)))
        rule = _Rule(decision.reason_code, _entries(said, _BY_RULE))
        rules.keep((decision.allowed, decision.rule_line, who.anonymous), rule)

    def _decision_id(self, now_ms: int) -> bytes:
        """A UUID of version 7 as access.uuid7 makes it, in a third of its time."""
        if now_ms != self._ms:
            text = f"{now_ms:012x}"
            self._ms, self._ms_text = now_ms, f"{text[:8]}-{text[8:]}-7"
        noise = os.urandom(10).hex()
        variant = "89ab"[int(noise[3], 16) & 3]
        return f"{self._ms_text}{noise[:3]}-{variant}{noise[4:7]}-{noise[7:19]}".encode()


def _entries(said: dict[str, str], names: tuple[str, ...]) -> bytes:
    return b"".join(wire.metadata_entry(name, said[name]) for name in names)
