"""Who asks: from what Envoy verified to a Subject, or why there is none.

Rules, each a test of its name:
- only what jwt_authn verified makes a subject; nothing that a client wrote is believed;
- credentials that nothing verified are `invalid_credential`, never anonymous;
- no verified subject can pass for another kind of name: a role, `anonymous`, everyone (`*`);
- an issuer asserts only the roles that its setting lists.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from access import ANONYMOUS, UNKNOWN, AuthMethod, Subject
from access.subject import ANONYMOUS_NAME, ROLE_PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_SUBJECT_BYTES = 256
MAX_ROLES = 64

_FAILED = ".failed"
# Failures that say nothing about the credential, where another issuer's says more.
_MISSING = "Jwt is missing"
_NOT_MINE = "Jwt issuer is not configured"
# Envoy looks for "Bearer " anywhere in the header, and takes from there what has a token's characters;
# whatever else the header holds was not verified.
_BEARER = re.compile(r"Bearer [A-Za-z0-9._-]+")
_ROLE = re.compile(r"[A-Za-z0-9_.:/@-]{1,128}")
_CLAIM = re.compile(r"\{([^{}]+)\}")
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Unicode's Default_Ignorable_Code_Point, as far as the categories above do not have it: shown as nothing.
_IGNORABLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8"
    "\U000e0000-\U000e0fff]"
)


class IssuerRules(Protocol):
    """An issuer's settings, as identity needs them."""

    @property
    def name(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def roles_claim(self) -> str: ...
    @property
    def roles(self) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True)
class Identity:
    """A subject that the policy may be asked about, or (with a `refusal`) the cause why there is none."""

    subject: Subject
    refusal: str = ""


class _Refused(Exception):  # noqa: N818 - never leaves this module
    pass


def identify(
    tokens: Mapping[str, object], authorization: Sequence[str], issuers: Sequence[IssuerRules]
) -> Identity:
    """The identity behind jwt_authn's metadata and the Authorization header lines that are left."""
    verified = [issuer for issuer in issuers if issuer.name in tokens]
    if len(verified) > 1:
        names = " and ".join(issuer.name for issuer in verified)
        return Identity(UNKNOWN, f"tokens of several issuers in one request: {names}")
    if not verified:
        return _unverified(tokens, authorization, issuers)
    issuer = verified[0]
    if len(authorization) > 1 or not all(_BEARER.fullmatch(line) for line in authorization):
        return _refused(issuer, "the Authorization header holds more than the verified token")
    try:
        return Identity(_subject(issuer, tokens[issuer.name]))
    except _Refused as refused:
        return _refused(issuer, str(refused))


def _refused(issuer: IssuerRules, cause: str) -> Identity:
    unknown = Subject("", auth_method=AuthMethod.JWT, issuer=issuer.name)
    return Identity(unknown, f"token of issuer {issuer.name}: {cause}")


def _unverified(
    tokens: Mapping[str, object], authorization: Sequence[str], issuers: Sequence[IssuerRules]
) -> Identity:
    failures = [(issuer, _failure(tokens.get(issuer.name + _FAILED))) for issuer in issuers]
    came = [(issuer, message) for issuer, message in failures if message not in {"", _MISSING}]
    telling = [(issuer, message) for issuer, message in came if message != _NOT_MINE]
    for issuer, message in telling:
        return _refused(issuer, message)
    if came:
        return Identity(UNKNOWN, "a token of an issuer that is not configured")
    strangers = set(tokens) - {name for issuer in issuers for name in (issuer.name, issuer.name + _FAILED)}
    # A verified token of a provider without an entry in extauthz.issuers must not become anonymous.
    if any(not name.endswith(_FAILED) or _failure(tokens[name]) != _MISSING for name in strangers):
        return Identity(UNKNOWN, "a token of a provider that extauthz.issuers does not name")
    if authorization:
        return Identity(UNKNOWN, "an Authorization header that no issuer verified")
    return Identity(ANONYMOUS)


def _failure(status: object) -> str:
    """The message of jwt_authn's failure; empty without one, never empty with one."""
    if status is None:
        return ""
    message = status.get("message") if isinstance(status, dict) else None
    return message if isinstance(message, str) and message else "verification failed"


def _subject(issuer: IssuerRules, payload: object) -> Subject:
    if not isinstance(payload, dict):
        raise _Refused("the payload is no object")
    name = _CLAIM.sub(lambda claim: _text(payload, claim[1]), issuer.subject)
    problem = subject_problem(name)
    if problem:
        raise _Refused(f"the subject {problem}")
    return Subject(name, _roles(issuer, payload), AuthMethod.JWT, issuer.name)


def subject_problem(name: str) -> str:
    """Why a verified name cannot be a subject, to follow "the subject"; empty when it can."""
    if not name:
        return "is empty"
    if name in {"*", ANONYMOUS_NAME} or name.startswith((f"{ANONYMOUS_NAME}@", ROLE_PREFIX)):
        return "is a name that the policy reserves"
    if problem := _misleading(name):
        return problem
    if name != name.strip():
        return "begins or ends with a space"
    if len(name.encode()) > MAX_SUBJECT_BYTES:
        return f"is longer than {MAX_SUBJECT_BYTES} bytes"
    return ""


def _misleading(name: str) -> str:
    """Why a name could be taken for another one by whoever reads it."""
    if any(unicodedata.category(character) in _INVISIBLE for character in name):
        return "has control characters"
    if _IGNORABLE.search(name):
        return "has invisible characters"
    if not unicodedata.is_normalized("NFC", name):
        return "is not in Unicode's normal form C"
    return ""


def _text(payload: Mapping[str, object], claim: str) -> str:
    value = _claim(payload, claim)
    if not isinstance(value, str) or not value:
        raise _Refused(f"claim {claim} is {'missing' if value is None else 'no text'}")
    return value


def _claim(payload: Mapping[str, object], name: str) -> object:
    """A claim by its name, or by a path with dots into objects."""
    if name in payload:
        return payload[name]
    value: object = payload
    for part in name.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(part)
    return value


def _roles(issuer: IssuerRules, payload: Mapping[str, object]) -> tuple[str, ...]:
    claimed = _claim(payload, issuer.roles_claim) if issuer.roles_claim else None
    if claimed is None:
        return ()
    names = [claimed] if isinstance(claimed, str) else claimed
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _Refused(f"claim {issuer.roles_claim} is no list of texts")
    if len(names) > MAX_ROLES:
        raise _Refused(f"claim {issuer.roles_claim} has more than {MAX_ROLES} roles")
    if not all(_ROLE.fullmatch(name) for name in names):
        raise _Refused(f"claim {issuer.roles_claim} has a role with characters that no role has")
    allowed = names if "*" in issuer.roles else [name for name in names if name in issuer.roles]
    return tuple(dict.fromkeys(ROLE_PREFIX + name for name in allowed))
