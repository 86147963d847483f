"""Subjects from API keys, of which only SHA-256 hashes are known here. Pure.

A plain hash is enough because a key is no password: what is shorter than 32 characters is refused, whatever
the settings say, and longer ones are made by machines (`openssl rand -hex 32`).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from access import AuthMethod, Subject
from access.subject import ROLE_PREFIX
from extauthz.identity_jwt import Found

if TYPE_CHECKING:
    from collections.abc import Sequence

    from extauthz.identity_settings import ApiKeys

MIN_CHARACTERS = 32
MAX_CHARACTERS = 512
# So much of a key's hash stands in the ledger, to tell two keys of one name apart.
_SHOWN = 12


class Keys:
    """The keys by their hashes. Looking one up tells at most how its hash begins, which nobody can aim at."""

    def __init__(self, settings: ApiKeys | None) -> None:
        self.header = settings.header if settings else ""
        keys = settings.keys if settings else ()
        template = settings.subject if settings else ""
        self._subjects = {
            key.sha256: Subject(
                template.replace("{name}", key.name),
                tuple(ROLE_PREFIX + role for role in key.roles),
                AuthMethod.API_KEY,
                f"sha256:{key.sha256[:_SHOWN]}",
            )
            for key in keys
        }

    def found(self, lines: Sequence[str]) -> Found:
        """From all lines of the header, at least one. No cause repeats a key."""
        if len(lines) > 1:
            return _refused(f"the header came {len(lines)} times")
        key = lines[0]
        if not MIN_CHARACTERS <= len(key) <= MAX_CHARACTERS:
            return _refused(f"a key has between {MIN_CHARACTERS} and {MAX_CHARACTERS} characters")
        # Header bytes arrive as Latin-1 characters; a key outside ASCII is nobody's.
        subject = self._subjects.get(hashlib.sha256(key.encode("latin-1", "replace")).hexdigest())
        return Found(subject) if subject else _refused("it is nobody's")


def _refused(cause: str) -> Found:
    return Found(Subject("", auth_method=AuthMethod.API_KEY), f"API key: {cause}")
