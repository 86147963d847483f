"""Who asks: from what Envoy verified to a Subject, or why there is none. Pure.

Rules, each a test of its name:
- only what was verified makes a subject; nothing that a client wrote is believed;
- credentials that nothing verified are `invalid_credential`, never anonymous;
- all credentials that came must be good; of several good ones the settings' precedence says whose name counts;
- no verified subject can pass for another kind of name: a role, `anonymous`, everyone (`*`);
- an issuer asserts only the roles that its setting lists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from access import ANONYMOUS, Subject
from extauthz import identity_mtls
from extauthz.identity_api_key import Keys
from extauthz.identity_jwt import AUTHORIZATION, Found, Tokens

if TYPE_CHECKING:
    from extauthz.asked import Asked
    from extauthz.identity_settings import IdentitySettings

# A subject that the policy may be asked about, or (with a `refusal`) the cause why there is none.
Identity = Found

_NOBODY = Identity(ANONYMOUS)
_SAID = {"jwt": "token", "mtls": "client certificate", "api_key": "API key"}


class Identities:
    """All that the settings say about who may ask. Holds no state of a request."""

    def __init__(self, settings: IdentitySettings) -> None:
        self._tokens = Tokens(settings.issuers)
        self._keys = Keys(settings.api_keys)
        self._certificates = settings.client_certificates
        self._precedence = settings.precedence
        self._accepts = {service: frozenset(kinds) for service, kinds in settings.accepts.items()}
        # Where credentials stand, besides Authorization: wire keeps these headers' lines apart.
        self.headers = (self._tokens.headers | {self._keys.header}) - {"", AUTHORIZATION}

    def identify(self, asked: Asked) -> Identity:
        """The identity behind a request."""
        came = []
        for kind in self._precedence:
            if found := self._found(kind, asked):
                if found.refusal:
                    return found
                came.append((kind, found))
        for kind, found in came:
            if self._takes(asked.service, kind, found):
                return found
        if not came:
            return _NOBODY
        shown = came[0][1].subject
        said = " nor ".join(_SAID[kind] for kind, _ in came)
        nobody = Subject("", auth_method=shown.auth_method, issuer=shown.issuer)
        return Identity(nobody, f"service {asked.service} does not take this {said}")

    def _found(self, kind: str, asked: Asked) -> Found | None:
        if kind == "jwt":
            return self._tokens.found(asked.tokens, self._token_lines(asked))
        if kind == "api_key":
            lines = asked.credentials.get(self._keys.header)
            return self._keys.found(lines) if lines else None
        if asked.certificate and self._certificates:
            return identity_mtls.found(asked.certificate, self._certificates)
        return None

    def _token_lines(self, asked: Asked) -> list[tuple[str, str]]:
        lines = [(AUTHORIZATION, line) for line in asked.authorization]
        if not asked.credentials:
            return lines
        for name, found in asked.credentials.items():
            if name in self._tokens.headers:
                lines.extend((name, line) for line in found)
        return lines

    def _takes(self, service: str, kind: str, found: Found) -> bool:
        if service not in self._accepts:
            return True
        return bool(self._accepts[service] & {kind, f"{kind}:{found.subject.issuer}"})
