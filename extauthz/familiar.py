"""Checks like ones that were answered before: the same answers, put together from pieces of those.

Invariants, each a test of its name:
- an answer is, byte for byte but for its id and its times, what the general way gives (tests/properties);
- whatever is unusual, or was not seen before, goes the general way, which is where the pieces come from;
- what is kept is bounded, and what was kept of an earlier policy counts for nothing.

A piece is kept under all that it can depend on. Who asks, as far as Envoy's metadata, the route and the token
say it: subject, roles, service, and an answer's head. Method and host: that they are
fine. The rule that decided: effect, reason, rule and versions. The policy is asked each time.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from access import Decision, ReasonCode, plain_path
from access.subject import ANONYMOUS_NAME
from extauthz import wire
from extauthz.decision_ids import DecisionIds
from extauthz.engine import VERDICT_AT

if TYPE_CHECKING:
    from collections.abc import Hashable

    from extauthz.check import Checked
    from extauthz.decide import Snapshot
    from extauthz.engine import Engine, Verdict
    from extauthz.engine.held import Held
    from extauthz.usual import Usual
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
# Looking for an enumeration's member takes longer than what is done with it.
_ALLOWED = ReasonCode.RULE_ALLOW
_POLICY_DECIDED = frozenset(
    {ReasonCode.RULE_ALLOW, ReasonCode.RULE_DENY, ReasonCode.NO_MATCHING_RULE, ReasonCode.UNAUTHENTICATED}
)
_MAX_KEPT = 8_192
# Some 400 bytes each.
_MAX_RULES = 65_536
# Bytes of an Authorization header; who comes with a longer one is not kept.
_MAX_TOKEN = 4_096
# So many of its last bytes, of the signature, tell it from nearly all others.
_TAIL = 32
_DECIDES, _RESOURCES = 1_000, 512
_DECIDE_US = tuple(wire.metadata_entry("decide_us", str(us)) for us in range(_DECIDES))
_ID_ENTRY = wire.metadata_begin("decision_id", 36)
_RESOURCE = tuple(wire.metadata_begin("resource", size) for size in range(_RESOURCES))
_IDS = DecisionIds()

# Envoy's metadata, the same for the same content; the route's, as it came; the Authorization header's end.
_Key = tuple[bytes, bytes, bytes]
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
    """One who asks. As small as may be: at many users a Check's time goes into memory that no cache holds.

    `held` is one object, for threads may see two policies at a time: a policy's versions, the very object, and what the
    subject is by it.
    """

    name: str
    roles: tuple[str, ...]
    service: str
    metadata: bytes
    anonymous: bool
    # The Authorization header, of which identity was made; empty where none came.
    authorization: bytes
    # An answer's head, cut at its ids, of one that allows; and of others by reason code.
    allowing: tuple[bytes, ...] | None = None
    others: dict[ReasonCode, tuple[bytes, ...]] | None = None
    held: tuple[bytes | None, Held | None] = (None, None)


class _Rule(NamedTuple):
    """What a verdict comes to, kept in it; None where that is not known yet.

    Apart for anonymous, who hears another reason where nothing allows: else the two would take turns in forgetting.
    """

    anonymous_code: ReasonCode | None = None
    anonymous_metadata: bytes = b""
    code: ReasonCode | None = None
    metadata: bytes = b""


@dataclass(frozen=True, slots=True)
class _Policy:
    version: str = ""
    versions: bytes = b""


class _Learned:
    """The verdicts in which something is kept, oldest first: of earlier policies, then of the one in force."""

    def __init__(self) -> None:
        self._verdicts: deque[Verdict] = deque()
        self._earlier = 0

    def add(self, verdict: Verdict) -> None:
        """One more of the policy in force, at the expense of the oldest."""
        self._verdicts.append(verdict)
        # Of earlier policies two for each: all at once would take long.
        for _ in range(min(2, self._earlier)):
            self._verdicts.popleft()
            self._earlier -= 1
        if len(self._verdicts) > _MAX_RULES:
            self._verdicts.popleft().kept = None

    def new_policy(self) -> None:
        self._earlier = len(self._verdicts)


class Familiar:
    """Answers what it can; learns from the general way's answers."""

    def __init__(self, attributes: tuple[str, ...]) -> None:
        # Without these four and nothing else nothing is familiar.
        self._order = tuple(_ASKED.index(name) for name in attributes if name in _ASKED)
        self._reordered = self._order != _IN_ORDER
        self._able = len(self._order) == len(attributes)
        # Envoy writes a map's fields in any order: one and the same text for all of them, by what came.
        self._metadata: Kept[bytes, bytes] = Kept()
        self._who: Kept[_Key, _Who] = Kept()
        self._fine: Kept[tuple[str, str], bytes] = Kept(1_024)
        self._pieces: Kept[bytes, bytes] = Kept(1_024)
        # Read at once: threads may answer while a new policy is learned. Not the engine, which would live as long as
        # this does (extauthz.engine.release).
        self._policy = _Policy()
        self._learned = _Learned()

    def answered(self, usual: Usual, snapshot: Snapshot, started_ns: int) -> Checked | None:
        """The answer and what belongs to it; None where it has to come the general way.

        Raises what the engine raises.
        """
        metadata, route, authorization, method, host, target, request_id = usual
        known_by = self._metadata[metadata]
        who = None if known_by is None else self._who[known_by, route, authorization[-_TAIL:]]
        action = self._fine[method, host]
        engine = snapshot.engine
        policy = self._policy
        path = plain_path(target)
        if (
            who is None
            or who.authorization != authorization
            or action is None
            or path is None
            or engine is None
            or engine.source.version != policy.version
        ):
            return None
        by, held = who.held
        if by is not policy.versions:
            # Roles are the subject's: a policy in which they are another value's is refused (engine.http_lint).
            held = engine.held(who.name, who.roles)
            who.held = policy.versions, held
        values: tuple[str, ...] = (who.name, who.service, path, method)
        if self._reordered:
            values = tuple([values[place] for place in self._order])
        try:
            # As engine.verdict for nearly all, a call less.
            entry = engine.entry(values, who.roles, held)
        except Exception:  # noqa: BLE001 - it knows what to do
            rule = engine.verdict(values, who.roles, held).kept
        else:
            rule = (engine.unmatched if entry is None else entry[VERDICT_AT]).kept
        if rule is None:
            return None
        if who.anonymous:
            reason_code, said, _, _ = rule
        else:
            _, _, reason_code, said = rule
        if reason_code is _ALLOWED:
            head = who.allowing
        else:
            head = who.others.get(reason_code) if who.others else None
        if head is None:
            return None
        now = time.time_ns()
        name = _IDS.make(now // 1_000_000)
        resource = path.encode()
        size = len(resource)
        begin = _RESOURCE[size] if size < _RESOURCES else wire.metadata_begin("resource", size)
        took = (time.perf_counter_ns() - started_ns) // 1000
        decide_us = _DECIDE_US[took] if took < _DECIDES else wire.metadata_entry("decide_us", str(took))
        told = b"".join(
            (_ID_ENTRY, name, who.metadata, action, begin, resource, said, policy.versions, decide_us)
        )
        answer = wire.with_metadata(name.join(head), told)
        return answer, wire.journal_entry(told, request_id, now), reason_code, started_ns

    def learn(self, usual: Usual, decision: Decision, answered: Answered, engine: Engine | None) -> None:
        """Keep what the general way's answer to a usual Check can say of others."""
        said = wire.metadata_of(decision, 0)
        if not self._able or engine is None or decision.reason_code not in _POLICY_DECIDED:
            return
        metadata, route, authorization, method, host, target, _ = usual
        path = plain_path(target)
        if said.keys() != _KNOWN or decision.policy_version != engine.version or path is None:
            return
        if len(authorization) > _MAX_TOKEN:
            return
        head = tuple(answered.head.split(decision.decision_id.encode()))
        if len(head) < 2:
            return
        if engine.version != self._policy.version:
            self._policy = _Policy(engine.version, _entries(said, _BY_POLICY))
            self._learned.new_policy()
        who = self._known(metadata, route, authorization)
        if who is None:
            who = _who(said, decision, authorization)
            known_by = self._metadata[metadata]
            if known_by is None:
                known_by = self._one(wire.in_order(metadata))
                self._metadata.keep(metadata, known_by)
            self._who.keep((known_by, self._one(route), authorization[-_TAIL:]), who)
        head = tuple([self._one(part) for part in head])
        if decision.reason_code is ReasonCode.RULE_ALLOW:
            who.allowing = head
        else:
            who.others = {**(who.others or {}), decision.reason_code: head}
        self._fine.keep((method, host), _entries(said, ("action",)))
        self._learn_rule(said, decision, engine)

    def _known(self, metadata: bytes, route: bytes, authorization: bytes) -> _Who | None:
        known_by = self._metadata[metadata]
        who = None if known_by is None else self._who[known_by, route, authorization[-_TAIL:]]
        return None if who is None or who.authorization != authorization else who

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
        if verdict.kept is None:
            self._learned.add(verdict)
        rule, code, metadata = verdict.kept or _Rule(), decision.reason_code, _entries(said, _BY_RULE)
        if request.subject.name == ANONYMOUS_NAME:
            verdict.kept = rule._replace(anonymous_code=code, anonymous_metadata=metadata)
        else:
            verdict.kept = rule._replace(code=code, metadata=metadata)


def _who(said: dict[str, str], decision: Decision, authorization: bytes) -> _Who:
    subject = decision.request.subject
    roles = tuple([sys.intern(role) for role in subject.request_roles])
    metadata = _entries(said, _BY_WHO)
    anonymous = subject.name == ANONYMOUS_NAME
    return _Who(subject.name, roles, sys.intern(said["service"]), metadata, anonymous, authorization)


def _entries(said: dict[str, str], names: tuple[str, ...]) -> bytes:
    return b"".join(wire.metadata_entry(name, said[name]) for name in names)
