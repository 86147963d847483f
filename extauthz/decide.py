"""From a question to a decision: pure, without clock and network.

The order is fixed: a malformed request, a path that can be misread, a credential that cannot be
believed, a policy that is not there; only then the policy is asked.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from access import AccessRequest, BadPath, Decision, ReasonCode, readings, split
from access.subject import ANONYMOUS_NAME
from extauthz.asked import host_name, problem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from access import Subject
    from extauthz.asked import Asked
    from extauthz.engine import Engine, Verdict
    from extauthz.identity import Identity

# What of a request can be a value of the model's request_definition (setting extauthz.request).
ATTRIBUTES: dict[str, Callable[[AccessRequest], str]] = {
    "subject": operator.attrgetter("subject.name"),
    "service": operator.attrgetter("service"),
    "resource": operator.attrgetter("resource"),
    "action": operator.attrgetter("action"),
    "host": operator.attrgetter("host"),
    "scheme": operator.attrgetter("scheme"),
    "client_address": operator.attrgetter("client_address"),
}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The policy that decides now; without an engine, why there is none."""

    engine: Engine | None
    unavailable: ReasonCode = ReasonCode.POLICY_UNAVAILABLE
    reason: str = "no policy is loaded"


@dataclass(frozen=True, slots=True)
class Finding:
    """A decision's substance, before it gets its name: reason code, reason, and the policy's verdict."""

    reason_code: ReasonCode
    reason: str
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """What decides beside the policy: the request attributes that it is asked with, whether a path may hold
    parameters, and a hash of all that.
    """

    attributes: tuple[str, ...]
    config_version: str = ""
    path_parameters: bool = False


def decide(asked: Asked, identity: Identity, snapshot: Snapshot, rules: Rules, decision_id: str) -> Decision:
    """The decision on one request. Raises what the engine raises."""
    request, found = _precheck(asked, identity, rules)
    if found is None:
        found = _ask(request, snapshot, rules.attributes)
    verdict = found.verdict
    return Decision(
        decision_id=decision_id,
        request=request,
        reason_code=found.reason_code,
        reason=found.reason,
        rule=verdict.text if verdict else "",
        rule_line=verdict.line if verdict else None,
        policy_version=snapshot.engine.version if snapshot.engine else "",
        config_version=rules.config_version,
    )


def _precheck(asked: Asked, identity: Identity, rules: Rules) -> tuple[AccessRequest, Finding | None]:
    malformed = problem(asked)
    if malformed:
        return _request(asked, identity.subject, ""), Finding(ReasonCode.BAD_REQUEST, malformed)
    try:
        target = f"{asked.target}#" if asked.fragment else asked.target
        path = split(target, parameters=rules.path_parameters).path
    except BadPath as bad:
        return _request(asked, identity.subject, ""), Finding(ReasonCode.BAD_PATH, bad.cause)
    request = _request(asked, identity.subject, path)
    if identity.refusal:
        return request, Finding(ReasonCode.INVALID_CREDENTIAL, identity.refusal)
    return request, None


def _request(asked: Asked, subject: Subject, resource: str) -> AccessRequest:
    return AccessRequest(
        subject=subject,
        service=asked.service,
        resource=resource,
        action=asked.method,
        host=host_name(asked.host),
        scheme=asked.scheme,
        client_address=asked.client_address,
    )


def _ask(request: AccessRequest, snapshot: Snapshot, attributes: Sequence[str]) -> Finding:
    if snapshot.engine is None:
        return Finding(snapshot.unavailable, snapshot.reason)
    values = [ATTRIBUTES[name](request) for name in attributes]
    return judge(snapshot.engine, values, attributes, request.subject)


def judge(engine: Engine, values: Sequence[str], attributes: Sequence[str], subject: Subject) -> Finding:
    """The policy's finding on request values whose meaning `attributes` gives. Raises EnforceError.

    A path that upstreams read in two ways ("%3A" for ":") is allowed only if both readings are.
    """
    verdict = engine.enforce(*values, roles=subject.request_roles)
    note = ""
    if verdict.allowed and "resource" in attributes:
        at = attributes.index("resource")
        for reading in readings(values[at])[1:]:
            verdict = engine.enforce(*values[:at], reading, *values[at + 1 :], roles=subject.request_roles)
            note = f", the path read as {reading}"
    if subject.name == ANONYMOUS_NAME and not verdict.allowed:
        reason = f"no credentials came, and the policy does not let {ANONYMOUS_NAME} in"
        return Finding(ReasonCode.UNAUTHENTICATED, reason + note, verdict)
    return Finding(ReasonCode(verdict.reason_code), reason_of(verdict) + note, verdict)


def reason_of(verdict: Verdict) -> str:
    """A verdict in words."""
    if verdict.line is None:
        return "no rule denies" if verdict.allowed else "no rule allows"
    return f"{'allowed' if verdict.allowed else 'denied'} by the rule in line {verdict.line}"
