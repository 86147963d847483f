"""Subjects from tokens: what jwt_authn verified, or why it did not. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from access import UNKNOWN, AuthMethod, Subject
from access.subject import ROLE_PREFIX
from extauthz.identity_claims import claims_of
from extauthz.identity_name import ROLE, Refused, filled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from extauthz.identity_settings import Issuer

MAX_ROLES = 64
AUTHORIZATION = "authorization"

# Behind a provider's name in jwt_authn's metadata: why it refused a token, and the header of one that is good
# (RFC 7519, 5), whose claims then are read from the token.
FAILED, VERIFIED = ".failed", ".header"
# Failures that say nothing about the credential, where another issuer's says more.
_MISSING = "Jwt is missing"
_NOT_MINE = "Jwt issuer is not configured"
# Envoy looks for the prefix anywhere in the header, and takes from there what has a token's characters;
# whatever else the header holds was not verified.
_TOKEN = r"[A-Za-z0-9._-]+"  # noqa: S105 - its alphabet, not a token


@dataclass(frozen=True, slots=True)
class Found:
    """What one kind of credential says: a subject, or (with a `refusal`) the cause why there is none."""

    subject: Subject
    refusal: str = ""


class Tokens:
    """The issuers, and what their tokens look like in a request."""

    def __init__(self, issuers: Sequence[Issuer]) -> None:
        self._issuers = tuple(issuers)
        self.headers = frozenset({AUTHORIZATION, *(header.name for one in issuers for header in one.headers)})
        self._shapes = {
            (one.name, header.name): re.compile(f"{re.escape(header.prefix)}({_TOKEN})")
            for one in issuers
            for header in one.headers
        }
        self._known = {one.name + said for one in issuers for said in ("", FAILED, VERIFIED)}

    def found(self, tokens: Mapping[str, object], lines: Sequence[tuple[str, str]]) -> Found | None:
        """From jwt_authn's metadata and all (header, line) where tokens stand; None where no token came."""
        verified = [
            issuer for issuer in self._issuers if issuer.name in tokens or issuer.name + VERIFIED in tokens
        ]
        if len(verified) > 1:
            names = " and ".join(issuer.name for issuer in verified)
            return Found(UNKNOWN, f"tokens of several issuers in one request: {names}")
        if not verified:
            return self._unverified(tokens, lines)
        issuer = verified[0]
        if problem := self._beside(issuer, lines):
            return _refused(issuer, problem)
        try:
            return Found(_subject(issuer, self._claims(issuer, tokens, lines)))
        except Refused as refused:
            return _refused(issuer, str(refused))

    def _claims(
        self, issuer: Issuer, tokens: Mapping[str, object], lines: Sequence[tuple[str, str]]
    ) -> object:
        """What the token says: Envoy's reading of it, or, where Envoy says only that it is good, this one.

        Raises Refused. For who knows by `_beside` that of the headers one alone holds a token, and nothing else.
        """
        if issuer.name in tokens:
            return tokens[issuer.name]
        # Envoy looks at all tokens that it finds: if another one was good, this one need not be.
        if message := self._other_failure(issuer, tokens):
            raise Refused(message)
        if not lines:
            raise Refused(
                "it stands where extauthz.issuers does not say that tokens stand, or was taken away"
            )
        name, line = lines[0]
        shaped = self._shapes[issuer.name, name].fullmatch(line)
        if shaped is None:
            raise Refused("its header holds more than the verified token")
        return claims_of(shaped[1])

    def _other_failure(self, good: Issuer, tokens: Mapping[str, object]) -> str:
        """Why some token was refused, though one of this issuer's is good; empty where none was.

        That a good token is not another issuer's is no failure of a token.
        """
        if own := _failure(tokens.get(good.name + FAILED)):
            return own
        return next((message for _, message in self._failures(tokens) if message != _NOT_MINE), "")

    def _beside(self, issuer: Issuer, lines: Sequence[tuple[str, str]]) -> str:
        """What of the headers was not verified with the token; empty where nothing else came."""
        if not lines:
            return ""
        name, line = lines[0]
        if len(lines) == 1:
            shape = self._shapes.get((issuer.name, name))
            if shape and shape.fullmatch(line):
                return ""
        if names := {other for other, _ in lines} - {name}:
            return f"more than one header holds a token: {' and '.join(sorted({name, *names}))}"
        return f"the {name.title()} header holds more than the verified token"

    def _unverified(self, tokens: Mapping[str, object], lines: Sequence[tuple[str, str]]) -> Found | None:
        came = list(self._failures(tokens))
        telling = [(issuer, message) for issuer, message in came if message != _NOT_MINE]
        for issuer, message in telling:
            return _refused(issuer, message)
        if came:
            return Found(UNKNOWN, "a token of an issuer that is not configured")
        strangers = set(tokens) - self._known
        # A verified token of a provider without an entry in extauthz.issuers must not become anonymous.
        if any(not name.endswith(FAILED) or _failure(tokens[name]) != _MISSING for name in strangers):
            return Found(UNKNOWN, "a token of a provider that extauthz.issuers does not name")
        if lines:
            return Found(UNKNOWN, f"an {lines[0][0].title()} header that no issuer verified")
        return None

    def _failures(self, tokens: Mapping[str, object]) -> Iterator[tuple[Issuer, str]]:
        for issuer in self._issuers:
            message = _failure(tokens.get(issuer.name + FAILED))
            if message not in {"", _MISSING}:
                yield issuer, message


def _refused(issuer: Issuer, cause: str) -> Found:
    unknown = Subject("", auth_method=AuthMethod.JWT, issuer=issuer.name)
    return Found(unknown, f"token of issuer {issuer.name}: {cause}")


def _failure(status: object) -> str:
    """The message of jwt_authn's failure; empty without one, never empty with one."""
    if status is None:
        return ""
    message = status.get("message") if isinstance(status, dict) else None
    return message if isinstance(message, str) and message else "verification failed"


def _subject(issuer: Issuer, payload: object) -> Subject:
    if not isinstance(payload, dict):
        raise Refused("the payload is no object")
    name = filled(issuer.subject, lambda claim: _text(payload, claim))
    return Subject(name, _roles(issuer, payload), AuthMethod.JWT, issuer.name)


def _text(payload: Mapping[str, object], claim: str) -> str:
    value = _claim(payload, claim)
    if not isinstance(value, str) or not value:
        raise Refused(f"claim {claim} is {'missing' if value is None else 'no text'}")
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


def _roles(issuer: Issuer, payload: Mapping[str, object]) -> tuple[str, ...]:
    claimed = _claim(payload, issuer.roles_claim) if issuer.roles_claim else None
    if claimed is None:
        return ()
    names = [claimed] if isinstance(claimed, str) else claimed
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise Refused(f"claim {issuer.roles_claim} is no list of texts")
    if len(names) > MAX_ROLES:
        raise Refused(f"claim {issuer.roles_claim} has more than {MAX_ROLES} roles")
    if not all(ROLE.fullmatch(name) for name in names):
        raise Refused(f"claim {issuer.roles_claim} has a role with characters that no role has")
    allowed = names if "*" in issuer.roles else [name for name in names if name in issuer.roles]
    return tuple(dict.fromkeys(ROLE_PREFIX + name for name in allowed))
