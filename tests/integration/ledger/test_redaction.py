"""No secret that a client sends becomes part of a row: a table of them, stored in one INSERT, read back by one query."""

from __future__ import annotations

import re
import time
from importlib import resources
from typing import Any, NamedTuple

import pytest
from chserver_process import ChServerProcess
from ledger_entries import batch_of, select

from extauthz import wire
from ledger import insert
from ledger.plan import Load, Source
from ledger.plan import batch_of as batch_of_bytes
from protos.gen import accesslog_pb2 as accesslog

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"
EXTRA = "national.id"
MODERN = "Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/115.0"


class Case(NamedTuple):
    """`text` as a client sends it where the column `field` comes from, and what is stored."""

    field: str
    text: str
    stored: str


def query(text: str, stored: str) -> Case:
    return Case("url_query", text, stored)


def path(text: str, stored: str) -> Case:
    return Case("url_path", text, stored)


def hidden(name: str) -> Case:
    return query(f"page=2&{name}=hunter2&sort=asc", f"page=2&{name}=REDACTED&sort=asc")


def kept(text: str) -> Case:
    return query(text, text)


NAMES = [
    "token", "access_token", "refresh_token", "id_token", "Access_Token", "csrf-token", "X-Amz-Security-Token",
    "client_secret", "password", "PASSWD", "passwd", "passphrase", "passcode", "pass_code", "pass", "pwd", "newPwd", "pw", "user_pw", "user_pass", "user[pass]",
    "api_key", "api-key", "apikey", "x-api-key", "access_key", "AWSAccessKeyId", "accessKey", "private_key",
    "subscription-key", "Ocp-Apim-Subscription-Key", "shared_key", "signature", "X-Amz-Signature", "X-Amz-Credential",
    "X-Goog-Signature", "sig", "api_sig", "hmac", "auth", "x-auth", "authorization", "authorisation", "assertion",
    "client_assertion", "session", "JSESSIONID", "session_id", "sid", "PHPSESSID", "cookie", "jwt", "SAMLResponse",
    "SAMLart", "ticket", "bearer", "code", "key", "otp", "totp", "pin", "card-pin", "sas", "mfa", "user[password]",
    "user%5Bpassword%5D", "%74oken", "%2574oken", "access%5Ftoken", EXTRA, "my-National.ID",
]  # fmt: skip

CASES = {
    **{f"name {name}": hidden(name) for name in NAMES},
    "a semicolon in the value": query("token=a;b&x=1", "token=REDACTED&x=1"),
    "behind semicolons": query("a=1;password=b;c=2", "a=1;password=REDACTED"),
    "a value of several equal signs": query("token=a=b=c", "token=REDACTED"),
    "broken escapes": query("token=%zz%", "token=REDACTED"),
    "twice": query("token=a&token=b", "token=REDACTED&token=REDACTED"),
    "a JWT under any name": query(f"q={JWT}", "q=REDACTED"),
    "a JWT without a name": query(JWT, "REDACTED"),
    "a JWT in a name": query(f"{JWT}=1", "REDACTED"),
    "a JWT with escapes": query("q=" + JWT.replace(".", "%2E"), "q=REDACTED"),
    "a JWT with escaped escapes": query("q=" + JWT.replace(".", "%252e"), "q=REDACTED"),
    "bearer in a value": query("h=Bearer%20a1b2c3d4e5", "h=REDACTED"),
    "bearer with a plus": query("h=Bearer+a1b2c3d4e5", "h=REDACTED"),
    "basic in a value": query("h=Basic%20dXNlcjpwYXNz", "h=REDACTED"),
    "an AWS key by its form": query("q=AKIAIOSFODNN7EXAMPLE", "q=REDACTED"),
    "a GitHub token by its form": query("q=ghp_0123456789abcdefghij", "q=REDACTED"),
    "a Slack token by its form": query("q=xoxb-1234567890-abc", "q=REDACTED"),
    "a private key": query("pem=-----BEGIN%20PRIVATE%20KEY-----", "pem=REDACTED"),
    "an address with a token": query("next=https://x/?token=abc", "next=REDACTED"),
    "an escaped address with a token": query("next=https%3A%2F%2Fx%2F%3Ftoken%3Dabc", "next=REDACTED"),
    "an address escaped twice": query("next=https%253A%252F%252Fx%252F%253Ftoken%253Dabc", "next=REDACTED"),
    "an address with a password": query("next=https%3A%2F%2Fbob%3Ahunter2%40x%2F", "next=REDACTED"),
    "JSON": query('f={"password":"hunter2"}', "f=REDACTED"),
    "escaped JSON": query("f=%7B%22password%22%3A%20%22hunter2%22%7D", "f=REDACTED"),
    "JSON in other quotation marks": query("f={'token':'hunter2'}", "f=REDACTED"),
    "parameters in a parameter": query("f=a%26token%3Dhunter2", "f=REDACTED"),
    "two secrets in one piece": query(f"a={JWT};token=hunter2", "a=REDACTED"),
    "a parameter as a value": query("state=token%3Dhunter2", "state=REDACTED"),
    "a parameter as a value, not escaped": query("state=token=hunter2", "state=REDACTED"),
    "a short name as a value": query("state=code%3Dhunter2", "state=REDACTED"),
    "an address with a short name in its fragment": query("next=https%3A%2F%2Fx%2F%23code%3Dhunter2", "next=REDACTED"),
    "an address with a password and no user": query("next=redis%3A%2F%2F%3Ahunter2%40x", "next=REDACTED"),
    "JSON with an equal sign": query('{"token":"hunter2="}', "REDACTED"),
    "parameters in a name": query("x%26token%3Dhunter2=1", "REDACTED"),
    "behind a byte that is no UTF-8": query("a=1&%ff%74oken=hunter2", "a=1&%ff%74oken=REDACTED"),
    "a value behind a comma": query("token=,hunter2", "token=REDACTED"),
    "a value behind an escaped blank": query("f=%26token%3D+hunter2", "f=REDACTED"),
    "a very long value": query("page=2&token=" + "hunter2" * 1000, "page=2&token=REDACTED"),
    "behind a very long value": query(f"q={'a' * 8000}&token=hunter2", f"q={'a' * 8000}&token=REDACTED"),
    "a harmless query": kept("page=2&sort=asc"),
    "harmless escapes": kept("q=caf%C3%A9+au+lait&x=%26"),
    "names that only look like it": kept("keyboard=1&barcode=2&author=bob&pinned=1&bypass=1&compass=n&monkey=3&sort_key=a&signal=x"),
    "an address without a secret": kept("next=https%3A%2F%2Fx%2F%3Fpage%3D2"),
    "JSON without a secret": kept('f={"page":"2"}'),
    "an e-mail address": kept("who=bob@example.com"),
    "a name alone": kept("token"),
    "no value": kept("a&&b=&token="),
    "a JWT in a path": path(f"/verify/{JWT}/x", "/verify/REDACTED/x"),
    "an escaped JWT in a path": path("/verify/" + JWT.replace(".", "%2e"), "/verify/REDACTED"),
    "bearer in a path": path("/h/Bearer%20a1b2c3d4e5/x", "/h/REDACTED/x"),
    "basic in a path": path("/h/Basic%20dXNlcjpwYXNzd29yZA==", "/h/REDACTED"),
    "a parameter of a segment": path("/login;token=hunter2/x", "/login;token=REDACTED/x"),
    "a session in a path": path("/a;jsessionid=0123456789/x", "/a;jsessionid=REDACTED/x"),
    "a key in a path": path("/maps/key=hunter2/tile", "/maps/key=REDACTED/tile"),
    "a password before a host in a path": path("/proxy/https%3A%2F%2Fbob%3Ahunter2%40x", "/proxy/REDACTED"),
    "a password and no user before a host in a path": path("/proxy/redis://:hunter2@x/1", "/proxy/redis://REDACTED/1"),
    "JSON with an equal sign in a path": path('/f/{"token":"hunter2="}', "/f/REDACTED"),
    "JSON with a blank as an agent": Case("user_agent_original", 'tool {"password": "hunter2"} x', "tool REDACTED x"),
    "a harmless path": path("/orders/1;v=2/tokens/key", "/orders/1;v=2/tokens/key"),
    "a path with an address": path("/users/bob@example.com", "/users/bob@example.com"),
    "bearer as an agent": Case("user_agent_original", "curl/8 Bearer a1b2c3d4e5 x", "curl/8 REDACTED x"),
    "a JWT as an agent": Case("user_agent_original", f"tool {JWT}", "tool REDACTED"),
    "a token as an agent": Case("user_agent_original", "tool/1 (token=hunter2) x", "tool/1 (token=REDACTED x"),
    "a harmless agent": Case("user_agent_original", MODERN, MODERN),
    "a JWT as a host": Case("server_address", f"{JWT}.example", "REDACTED"),
    "a password before a host": Case("server_address", "bob:hunter2@shop.example", "REDACTED"),
    "a host of a telling name": Case("server_address", "session-store:6379", "session-store:6379"),
    "a JWT in the reason": Case("reason", f"no such path {JWT} here", "no such path REDACTED here"),
    "a harmless reason": Case("reason", "the bearer token has expired, basic is off", "the bearer token has expired, basic is off"),
    "a JWT in the resource": Case("resource", f"/verify/{JWT}", "/verify/REDACTED"),
    "a harmless resource": Case("resource", "/verify/1", "/verify/1"),
    "a separator of ours in a path": path("/a\x1f\x1e\x1fb/token=x", "/a   b/token=REDACTED"),
}  # fmt: skip


def entry(case: Case) -> accesslog.HTTPAccessLogEntry:
    made = accesslog.HTTPAccessLogEntry()
    said = made.common_properties.metadata.filter_metadata["envoy.filters.http.ext_authz"]
    match case.field:
        case "url_query":
            made.request.path = f"/x?{case.text}"
        case "url_path":
            made.request.path = case.text
        case "user_agent_original":
            made.request.user_agent = case.text
        case "server_address":
            made.request.authority = case.text
        case field:
            said.update({field: case.text})
    return made


@pytest.fixture(scope="module")
def rows(server: ChServerProcess) -> dict[str, dict[str, Any]]:
    """The row of each case, by the case's name."""
    client = server.writer_client()
    batch = batch_of(*map(entry, CASES.values()), node="redaction")
    insert.insert(client, Load((batch,)), batch.id, redact=(EXTRA,))
    found = select(client, f"SELECT * FROM audit.access_log WHERE batch = '{batch.id}' ORDER BY batch_row")
    client.close()
    return dict(zip(CASES, found, strict=True))


@pytest.mark.parametrize("name", CASES)
def test_what_is_secret_is_hidden_and_nothing_else(rows: dict[str, dict[str, Any]], name: str) -> None:
    case = CASES[name]

    assert case.stored == rows[name][case.field]


def test_no_secret_stands_in_any_column(rows: dict[str, dict[str, Any]]) -> None:
    secrets = re.compile(r"hunter2|eyJ|a1b2c3|dXNlcjp|AKIA|ghp_|xoxb|0123456789")
    found = [(name, row) for name, row in rows.items() if secrets.search(str(row))]

    assert not found


def test_the_path_upstream_and_of_a_decided_request_are_redacted_too(server: ChServerProcess) -> None:
    client = server.writer_client()
    made = accesslog.HTTPAccessLogEntry(request={"path": f"/in/{JWT}?x=1", "original_path": f"/out/{JWT}"})
    made.common_properties.metadata.filter_metadata["envoy.filters.http.ext_authz"].update(
        {"resource": f"/seen/{JWT}"}
    )
    batch = batch_of(made)
    insert.insert(client, Load((batch,)), batch.id)
    (row,) = select(client, f"SELECT * FROM audit.access_log WHERE batch = '{batch.id}'")
    client.close()

    assert ("/in/REDACTED", "/seen/REDACTED", "/seen/REDACTED") == (
        row["url_path_upstream"],
        row["url_path"],
        row["resource"],
    )


def test_resources_of_the_journal_of_decisions_are_redacted_alike(server: ChServerProcess) -> None:
    cases = [
        case for case in CASES.values() if case.field in {"url_path", "resource"} and "\x1f" not in case.text
    ]
    made = []
    for number, case in enumerate(cases):
        said = accesslog.HTTPAccessLogEntry()
        metadata = said.common_properties.metadata.filter_metadata["x"]
        metadata.update({"resource": case.text})
        made.append(wire.journal_entry(metadata.SerializeToString(), f"r{number}".encode(), time.time_ns()))
    source = Source("decision", "redaction", "host")
    batch = batch_of_bytes(f"{time.time_ns():020}-{0:016x}.0", source, time.time_ns(), made, len(made))
    client = server.writer_client()
    insert.insert(client, Load((batch,)), batch.id)
    found = select(
        client, f"SELECT resource FROM audit.decision_log WHERE batch = '{batch.id}' ORDER BY batch_row"
    )
    client.close()

    assert [case.stored for case in cases] == [row["resource"] for row in found]


def test_both_views_have_the_same_rules() -> None:
    schema = resources.files("ledger") / "schema"
    rules = [
        [
            "\n".join(re.findall(rf"{begin}.*?{end}", text, re.DOTALL))
            for begin, end in (
                ("AS more_names,", "AS secret,"),
                (r"\['eyJ'", r"\]\)"),
                ("NOT match", "judged\\)"),
            )
        ]
        for text in (
            (schema / name).read_text("utf-8") for name in ("0004_entries.sql", "0008_decisions.sql")
        )
    ]

    assert all(rules[0])
    assert rules[0] == rules[1]
