"""Callers of every kind, good and bad: what each sends to envoy/examples/identity, and what has to come of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from own_services import API_KEY, OwnServices

OTHER_KEY = "1234" * 16
Headers = Callable[[OwnServices], Sequence[tuple[str, str]]]


@dataclass(frozen=True)
class Case:
    """One request: what comes of it, and why. `reason` is a part of the row's."""

    id: str
    path: str
    headers: Headers = lambda _: ()
    client: str = ""
    plain: bool = False
    status: int = 200
    row: dict[str, object] = field(default_factory=dict)
    reason: str = ""


def bearer(**claims: object) -> Headers:
    return lambda own: [("authorization", f"Bearer {own.corp.token(**claims)}")]


def partner(**claims: object) -> Headers:
    return lambda own: [("x-partner-token", own.partner.token(**claims))]


def key(*values: str) -> Headers:
    return lambda _: [("x-api-key", value) for value in values]


def said(*values: str) -> Headers:
    return lambda _: [("authorization", value) for value in values]


def together(
    *headers: Headers,
) -> Headers:
    return lambda own: [line for one in headers for line in one(own)]


def wrong_signature(own: OwnServices) -> Sequence[tuple[str, str]]:
    head, content, _ = own.corp.token().split(".")
    forged = own.corp.token(sub="eve").split(".")[2]
    return [("authorization", f"Bearer {head}.{content}.{forged}")]


ALICE = {
    "subject": "corp:alice",
    "subject_roles": ["role:staff"],
    "auth_method": "jwt",
    "auth_issuer": "corp",
}
BOB = {"subject": "partner:bob@partner.example", "auth_method": "jwt", "auth_issuer": "partner"}
BATCH = {"subject": "cert:spiffe://example.com/batch", "auth_method": "mtls", "auth_issuer": "CN=client CA"}
NIGHTLY = {"subject": "key:nightly", "subject_roles": ["role:reporting"], "auth_method": "api_key"}
NOBODY = {"subject": "", "reason_code": "invalid_credential"}
ANYONE = {"subject": "anonymous", "auth_method": "none"}


def refused(id_: str, headers: Headers, reason: str, **more: object) -> Case:
    return Case(id_, "/orders/1", headers, status=401, row=NOBODY, reason=reason, **more)  # type: ignore[arg-type]


CASES = [
    Case("a token of corp, roles in a nested claim", "/orders/1", bearer(), row=ALICE),
    Case("the same without TLS", "/orders/1", bearer(), plain=True, row={**ALICE, "tls_version": ""}),
    Case("a role of the token", "/orders/1/items", bearer(sub="carol"), row={"subject": "corp:carol"}),
    Case("a token of partner, in its own header, keys fetched", "/orders/1", partner(), row=BOB),
    Case("an audience of two", "/orders/1", partner(aud=["x", "shop-partner"]), row=BOB),
    Case("a certificate", "/reports/2026", client="batch", row={**BATCH, "tls_version": "TLSv1.3"}),
    Case("an API key", "/orders/1", key(API_KEY), row=NIGHTLY),
    Case("an API key beside a certificate", "/reports/1", key(API_KEY), client="batch", row=NIGHTLY),
    Case("a token beside a certificate", "/orders/1", bearer(), client="batch", row=ALICE),
    Case(
        "a token and a key: the first of the precedence",
        "/orders/1",
        together(bearer(), key(API_KEY)),
        row=ALICE,
    ),
    Case(
        "a certificate where the service takes it, whatever the precedence",
        "/reports/1",
        bearer(),
        client="batch",
        row=BATCH,
    ),
    Case("anonymous, where the policy lets it", "/status", row=ANYONE),
    Case("a certificate where anonymous may", "/status", client="batch", row=BATCH),
    Case(
        "corp's subject is not partner's",
        "/orders/1",
        bearer(sub="bob@partner.example", realm_access=None),
        status=403,
        row={"subject": "corp:bob@partner.example", "reason_code": "no_matching_rule"},
    ),
    Case(
        "a role that the issuer may not assert",
        "/reports/1",
        key(API_KEY),
        row={"subject_roles": ["role:reporting"]},
    ),
    Case(
        "nothing came",
        "/orders/1",
        status=401,
        row={**ANYONE, "reason_code": "unauthenticated"},
        reason="no credentials came",
    ),
    refused("an expired token", bearer(seconds=-60), "token of issuer corp: Jwt is expired"),
    refused("a token without an end", bearer(exp=None), "token of issuer corp: "),
    refused(
        "a token of tomorrow", bearer(nbf=int(time.time()) + 86400), "token of issuer corp: Jwt not yet valid"
    ),
    refused(
        "a token for others", bearer(aud="bank"), "token of issuer corp: Audiences in Jwt are not allowed"
    ),
    refused("a token for nobody", bearer(aud=None), "token of issuer corp: Audiences in Jwt are not allowed"),
    refused("another one's signature", wrong_signature, "token of issuer corp: Jwt verification fails"),
    refused(
        "an unknown issuer", bearer(iss="https://evil.example"), "a token of an issuer that is not configured"
    ),
    refused(
        "a token of corp in partner's header",
        lambda own: [("x-partner-token", own.corp.token())],
        "not configured",
    ),
    refused(
        "a token of partner in corp's header",
        lambda own: [("authorization", f"Bearer {own.partner.token()}")],
        "not configured",
    ),
    refused("tokens of two issuers", together(bearer(), partner()), "more than one header holds a token"),
    refused(
        "a good token and rubbish in the other header",
        lambda own: [*bearer()(own), ("x-partner-token", "x")],
        "more than one header",
    ),
    refused("Basic", said("Basic cm9vdDpyb290"), "an Authorization header that no issuer verified"),
    refused(
        "lower-case bearer",
        lambda own: [("authorization", f"bearer {own.corp.token()}")],
        "Authorization header",
    ),
    refused("Negotiate", said("Negotiate abc"), "an Authorization header that no issuer verified"),
    refused("no token at all", said("Bearer"), "an Authorization header that no issuer verified"),
    refused("the token twice", together(bearer(), bearer()), "token of issuer corp: "),
    refused("a line break in a claim", bearer(sub="a\nb"), "the subject has control characters"),
    refused(
        "a comma in a role", bearer(realm_access={"roles": ["staff,admin"]}), "characters that no role has"
    ),
    refused("an empty subject", bearer(sub=""), "claim sub is no text"),
    refused("a subject that is a number", bearer(sub=None, email="x"), "claim sub is missing"),
    refused("an API key that is nobody's", key(OTHER_KEY), "API key: it is nobody's"),
    refused("a short API key", key("hunter2"), "API key: a key has between 32 and 512 characters"),
    refused("two API keys", key(API_KEY, API_KEY), "API key: the header came 2 times"),
    refused("a good key beside a bad token", together(key(API_KEY), bearer(seconds=-60)), "Jwt is expired"),
    refused("a bad token beside a good certificate", bearer(seconds=-60), "Jwt is expired", client="batch"),
    refused("a bad key beside a good token", together(bearer(), key(OTHER_KEY)), "API key: it is nobody's"),
    refused(
        "a certificate where the service takes none",
        lambda _: (),
        "service orders does not take this client certificate",
        client="batch",
    ),
    refused(
        "a certificate with two URIs", lambda _: (), "client certificate: it has 2 URI names", client="two"
    ),
    refused(
        "a certificate without a URI", lambda _: (), "client certificate: it has no URI name", client="host"
    ),
    refused(
        "a certificate with a name alone",
        lambda _: (),
        "client certificate: it has no URI name",
        client="reserved",
    ),
    Case(
        "a token where the service takes none",
        "/reports/1",
        bearer(),
        status=401,
        row=NOBODY,
        reason="service reports does not take this token",
    ),
]
