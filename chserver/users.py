"""Who asks: the writer, who may do everything, or the reader, who is held to the allow-list."""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from chserver.errors import AUTHENTICATION_FAILED, ClickHouseError

if TYPE_CHECKING:
    from collections.abc import Mapping

Role = Literal["writer", "reader"]


@dataclass(frozen=True, slots=True)
class Users:
    """The two users there are."""

    writer: str
    writer_password: str
    reader: str

    def role(self, name: str, password: str) -> Role:
        """The role of who says this name and password. Raises ClickHouseError."""
        # Compared in any case, so that the time taken tells nothing about the name.
        right = hmac.compare_digest(password.encode(), self.writer_password.encode())
        if name == self.writer and right and self.writer_password:
            return "writer"
        if name == self.reader and not password:
            return "reader"
        raise ClickHouseError(
            AUTHENTICATION_FAILED,
            f"{name or '(no user)'}: Authentication failed: password is incorrect, or there is no user with such name",
        )


def credentials(headers: Mapping[str, str], params: Mapping[str, str]) -> tuple[str, str]:
    """Name and password out of one source: X-ClickHouse headers, Basic, or URL. Raises ClickHouseError."""
    basic = headers.get("authorization")
    named = headers.get("x-clickhouse-user"), headers.get("x-clickhouse-key")
    in_url = params.get("user"), params.get("password")
    sources = [bool(basic), any(part is not None for part in named), any(part is not None for part in in_url)]
    if sum(sources) > 1:
        raise ClickHouseError(
            AUTHENTICATION_FAILED,
            "Invalid authentication: use one of Authorization, X-ClickHouse-User/-Key or user/password in the URL",
        )
    if basic:
        return _basic(basic)
    name, password = named if sources[1] else in_url
    return name or "", password or ""


def _basic(header: str) -> tuple[str, str]:
    scheme, _, value = header.partition(" ")
    try:
        name, _, password = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except (ValueError, binascii.Error):
        scheme = ""
    if scheme.lower() != "basic":
        raise ClickHouseError(
            AUTHENTICATION_FAILED, "Invalid authentication: the Authorization header must be Basic"
        )
    return name, password
