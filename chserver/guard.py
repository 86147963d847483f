"""Keeps other web pages out: a browser is the one client that a stranger can steer to loopback. Pure.

A foreign Host is how DNS rebinding arrives, a foreign Origin or a cross-site fetch is another page's
script, form or image. No CORS header is ever sent, so that no page can read an answer either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from chserver.errors import ACCESS_DENIED, ClickHouseError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

ANSWER_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def check(headers: Mapping[str, str], allowed: Collection[str]) -> None:
    """Raises ClickHouseError for a request that some other web page is behind."""
    why = _foreign(headers, allowed)
    if why is not None:
        raise ClickHouseError(ACCESS_DENIED, f"Refused: {why}")


def _foreign(headers: Mapping[str, str], allowed: Collection[str]) -> str | None:
    host = headers.get("host", "")
    if _name(host) not in allowed:
        return f"Host {host!r} is not one of chserver.allowed_hosts"
    origin = headers.get("origin")
    if origin is not None and _page(origin) not in allowed:
        return f"Origin {origin!r} is not one of chserver.allowed_hosts"
    if headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
        return "a request that another web page caused"
    return None


def _page(origin: str) -> str:
    """The host of an Origin; "" for one that is no address."""
    try:
        return _name(urlsplit(origin).netloc)
    except ValueError:
        return ""


def _name(authority: str) -> str:
    """The host of HOST[:PORT], in small letters; [::1] keeps its brackets."""
    bracket = authority.rfind("]")
    host, colon, port = authority.rpartition(":")
    if colon and authority.rfind(":") > bracket:
        return host.lower() if port.isdecimal() else ""
    return authority.lower()
