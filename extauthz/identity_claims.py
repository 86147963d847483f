"""The claims of a token that Envoy verified, read from the token itself (RFC 7519, compact form). Pure.

Envoy says of a token no more than that it is good: to copy all claims into its metadata would cost it more at every
request than it costs here once, and would put them into its access log too.
"""

from __future__ import annotations

import base64
import itertools
import json
from typing import TYPE_CHECKING, NoReturn

from extauthz.identity_name import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable

_PARTS = 3
# Levels of objects and lists, the payload being the first. What Envoy would say of deeper ones in its metadata nobody
# could read (Protobuf's parser goes a hundred messages deep); nobody asks for them either.
_MAX_DEPTH = 32
_TOO_DEEP = "its claims are nested too deeply"


def claims_of(token: str) -> object:
    """The payload, for whoever knows that the token is good and has a token's characters alone. Raises Refused.

    What two readers could read in two ways is refused: a name that comes twice, numbers that JSON does not have.
    """
    parts = token.split(".")
    if len(parts) != _PARTS:
        raise Refused(f"it has {len(parts)} parts, not three")
    payload = parts[1]
    try:
        # As text: of bytes json.loads would guess the encoding.
        text = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)).decode()
        claims = json.loads(text, object_pairs_hook=_once_each, parse_constant=_no_number)
    except RecursionError:
        raise Refused(_TOO_DEEP) from None
    except ValueError as error:
        raise Refused(f"its claims cannot be read: {_without_content(error)}") from None
    if _is_deep(claims):
        raise Refused(_TOO_DEEP)
    return claims


def _is_deep(claims: object) -> bool:
    level = [claims]
    for _ in range(_MAX_DEPTH):
        lists = [
            each.values() if isinstance(each, dict) else each
            for each in level
            if isinstance(each, dict | list)
        ]
        level = list(itertools.chain.from_iterable(lists))
        if not level:
            return False
    return any(isinstance(each, dict | list) for each in level)


def _once_each(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in pairs:
        if name in found:
            raise _AmbiguousError("a name comes twice in one object")
        found[name] = value
    return found


def _no_number(_: str) -> NoReturn:
    raise _AmbiguousError("a number that JSON does not have")


class _AmbiguousError(ValueError):
    """Claims with two readings; its message quotes nothing of them."""


def _without_content(error: ValueError) -> str:
    """The cause, without what stands in the token: causes go into rows and logs."""
    return str(error) if isinstance(error, _AmbiguousError) else "no JSON in UTF-8"
