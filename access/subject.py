"""Who asks: a verified subject with its roles, or `anonymous`."""

from __future__ import annotations

import enum
from dataclasses import dataclass

ANONYMOUS_NAME = "anonymous"
ROLE_PREFIX = "role:"
EVERYONE = "role:everyone"
AUTHENTICATED = "role:authenticated"


class AuthMethod(enum.StrEnum):
    """How the enforcement point verified the subject."""

    JWT = "jwt"
    MTLS = "mtls"
    API_KEY = "api_key"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Subject:
    """A subject as the policy sees it. `roles` are the asserted ones, written `role:NAME`."""

    name: str
    roles: tuple[str, ...] = ()
    auth_method: AuthMethod = AuthMethod.NONE
    issuer: str = ""

    @property
    def verified(self) -> bool:
        return self.auth_method is not AuthMethod.NONE

    @property
    def request_roles(self) -> tuple[str, ...]:
        """All roles that the request carries: those that everyone has, and the asserted ones."""
        implied = (EVERYONE, AUTHENTICATED) if self.verified else (EVERYONE,)
        return (*implied, *self.roles)


ANONYMOUS = Subject(ANONYMOUS_NAME)
# Credentials came, but nothing that can be believed: nobody, not even anonymous.
UNKNOWN = Subject("")
