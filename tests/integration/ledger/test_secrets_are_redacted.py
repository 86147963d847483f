"""No secret that a client writes into a text reaches ClickHouse; what only looks a little like one is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf import text_format

from protos.gen import accesslog_pb2 as accesslog

SECRET = "S3cr3tValue99"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJlMTIz"
NAMES = [
    "token",
    "access_token",
    "refresh_token",
    "id_token",
    "Token",
    "TOKEN",
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "pass",
    "pw",
    "pwd",
    "pin",
    "otp",
    "totp",
    "secret",
    "client_secret",
    "access_key",
    "accessKey",
    "AWSAccessKeyId",
    "X-Amz-Signature",
    "X-Amz-Credential",
    "X-Amz-Security-Token",
    "subscription-key",
    "ticket",
    "bearer",
    "hmac",
    "code",
    "sig",
    "sas",
    "signature",
    "x-api-key",
    "apikey",
    "api_key",
    "auth",
    "authorization",
    "session",
    "sessionid",
    "cookie",
    "jwt",
    "SAMLResponse",
    "assertion",
    "credential",
    "private_key",
    "sid",
    "key",
]
QUERIES = [
    *(f"a=1&{name}={SECRET}&b=2" for name in NAMES),
    f"%74oken={SECRET}",
    f"%2574oken={SECRET}",
    f"a%5Btoken%5D={SECRET}",
    f"token=a;{SECRET}",
    f"x;token={SECRET}",
    f"next=https://x.example/?token={SECRET}",
    f"next=https%3A%2F%2Fx.example%2F%3Ftoken%3D{SECRET}",
    f"next=https%253A%252F%252Fx.example%252F%253Ftoken%253D{SECRET}",
    f'q={{"token":"{SECRET}"}}',
    f"q=%7B%22password%22%3A%22{SECRET}%22%7D",
    f"u=https://alice:{SECRET}@x.example/",
    f"q=Bearer%20{SECRET}",
    f"q=Basic+{SECRET}",
]
HARMLESS = ["page=2&sort=asc", "keyboard=1&barcode=2", "a&&b=", "pinned=1&author=bo", "q=basic%20law"]
PLACES = ["path", "user_agent", "authority", "original_path"]

Rows = Callable[..., list[dict[str, Any]]]


def _entry(field: str, text: str) -> Any:
    path = "" if field == "path" else 'path: "/kept" '
    return text_format.Parse(
        f"request {{ {path}{field}: {json.dumps(text)} }}", accesslog.HTTPAccessLogEntry()
    )


@pytest.mark.parametrize("field", PLACES)
def test_no_text_of_a_client_brings_a_token(rows_of: Rows, field: str) -> None:
    texts = [
        f"tool {JWT}",
        f"Bearer {'a1' * 60}{SECRET}",
        f"/a/{JWT}/b",
        f"/a?q={JWT}",
        f"Bearer {SECRET}",
        f"/a;token={SECRET}",
        f"/a/token={SECRET}",
    ]

    for text, row in zip(texts, rows_of(*(_entry(field, text) for text in texts)), strict=True):
        told = json.dumps(row, default=str)

        assert SECRET not in told, text
        assert not [part for part in JWT.split(".")[1:] if part in told], text


def test_no_secret_of_a_query_is_stored(rows_of: Rows) -> None:
    rows = rows_of(*(_entry("path", f"/x?{query}") for query in QUERIES))

    assert [] == [
        query for query, row in zip(QUERIES, rows, strict=True) if SECRET in json.dumps(row, default=str)
    ]


def test_what_is_no_secret_is_stored_as_it_came(rows_of: Rows) -> None:
    rows = rows_of(*(_entry("path", f"/x?{query}") for query in HARMLESS))

    assert HARMLESS == [row["url_query"] for row in rows]
