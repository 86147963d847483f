"""Claims of tokens of which Envoy says no more than that they are good: read from the token itself."""

from __future__ import annotations

import json
from typing import Any

import pytest
from check_requests import GOOD, bearer, failure, token

from access import AuthMethod, Subject
from extauthz.asked import Asked
from extauthz.identity import Identities, Identity
from extauthz.identity_settings import IdentitySettings, Issuer, TokenHeader

CLAIMS = {"sub": "alice", "roles": ["customer"], "exp": 1_900_000_000}
ALICE = Subject("alice", ("role:customer",), AuthMethod.JWT, "demo")
DEMO = Issuer(name="demo", roles=("*",))
PARTNER = Issuer(
    name="partner", subject="partner:{sub}", headers=(TokenHeader(name="x-partner", prefix=""), TokenHeader())
)


def identify(
    tokens: dict[str, Any], *lines: str, issuers: tuple[Issuer, ...] = (DEMO,), **headers: str
) -> Identity:
    settings = IdentitySettings.model_construct(issuers=issuers)
    credentials = {name.replace("_", "-"): (line,) for name, line in headers.items()}
    return Identities(settings).identify(Asked(tokens=tokens, authorization=lines, credentials=credentials))


def said(claims: object) -> str:
    return bearer(json.dumps(claims).encode())


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(said(CLAIMS), id="as issuers write them"),
        pytest.param(bearer(b' { "roles" : ["customer"], "sub" : "alice" } '), id="spaces"),
        pytest.param(bearer(b'{"sub":"\\u0061lice","roles":"customer"}'), id="escapes"),
        pytest.param(said(CLAIMS | {"big": 10**400, "none": None}), id="claims that nobody asks for"),
        pytest.param(
            bearer(b'{"sub":"alice","roles":["customer"],"x":' + b"[" * 31 + b"]" * 31 + b"}"), id="deep"
        ),
    ],
)
def test_a_good_token_says_whose_it_is(line: str) -> None:
    assert Identity(ALICE) == identify(GOOD, line)


def test_what_envoy_read_itself_counts_before_the_token() -> None:
    assert identify(GOOD | token("zoe"), said(CLAIMS)).subject.name == "zoe"


def test_a_token_of_another_header_is_read_there() -> None:
    _, _, plain = said(CLAIMS).partition(" ")

    found = identify({"partner.header": {"alg": "ES256"}}, issuers=(DEMO, PARTNER), x_partner=plain)

    assert found == Identity(Subject("partner:alice", (), AuthMethod.JWT, "partner"))


def test_another_issuers_failure_says_nothing_about_a_good_token() -> None:
    tokens = GOOD | failure("Jwt issuer is not configured", issuer="partner")

    assert Identity(ALICE) == identify(tokens, said(CLAIMS), issuers=(DEMO, PARTNER))


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        pytest.param("Bearer abc", "it has 1 parts, not three", id="one part"),
        pytest.param("Bearer a.b", "it has 2 parts, not three", id="two parts"),
        pytest.param(said(CLAIMS) + ".d", "it has 4 parts, not three", id="four parts"),
        pytest.param("Bearer a.b.c", "its claims cannot be read: no JSON in UTF-8", id="no base64"),
        pytest.param(bearer(b""), "its claims cannot be read: no JSON in UTF-8", id="empty"),
        pytest.param(bearer(b"alice"), "its claims cannot be read: no JSON in UTF-8", id="no JSON"),
        pytest.param(bearer(b'{"sub":"\xff"}'), "its claims cannot be read: no JSON in UTF-8", id="no UTF-8"),
        pytest.param(
            bearer('{"sub":"alice"}'.encode("utf-16")),
            "its claims cannot be read: no JSON in UTF-8",
            id="UTF-16",
        ),
        pytest.param(
            bearer(b'{"sub":"alice","sub":"zoe"}'),
            "its claims cannot be read: a name comes twice in one object",
            id="two subjects",
        ),
        pytest.param(
            bearer(b'{"sub":"alice","x":{"a":1,"\\u0061":2}}'),
            "its claims cannot be read: a name comes twice in one object",
            id="the same name, escaped, further down",
        ),
        pytest.param(
            bearer(b'{"sub":"alice","exp":NaN}'),
            "its claims cannot be read: a number that JSON does not have",
            id="no number",
        ),
        pytest.param(
            bearer(b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
            "its claims are nested too deeply",
            id="as deep as can be",
        ),
        pytest.param(
            bearer(b'{"sub":"alice","x":' + b'{"x":' * 31 + b"[]" + b"}" * 32),
            "its claims are nested too deeply",
            id="too deep",
        ),
        pytest.param(
            bearer(b"1" * 10_000), "its claims cannot be read: no JSON in UTF-8", id="a number without end"
        ),
        pytest.param(said(["alice"]), "the payload is no object", id="a list"),
        pytest.param(said({}), "claim sub is missing", id="nobody"),
        pytest.param(
            bearer(b'{"sub":"a\\ud800"}'), "the subject has control characters", id="half a character"
        ),
    ],
)
def test_a_good_token_that_says_nothing_clear_is_refused(line: str, cause: str) -> None:
    found = identify(GOOD, line)

    assert found.refusal == f"token of issuer demo: {cause}"
    assert not found.subject.name


@pytest.mark.parametrize(
    ("lines", "cause"),
    [
        pytest.param((), "it stands where extauthz.issuers does not say that tokens stand", id="no header"),
        pytest.param(
            (said(CLAIMS), said({"sub": "admin"})), "holds more than the verified token", id="two lines"
        ),
        pytest.param((said(CLAIMS) + ", " + said({"sub": "admin"}),), "holds more", id="two in one line"),
        pytest.param((said(CLAIMS).replace("Bearer", "bearer"),), "holds more", id="another spelling"),
        pytest.param(("Basic " + said(CLAIMS),), "holds more", id="something before it"),
    ],
)
def test_where_it_is_not_plain_which_token_is_good_none_is_believed(
    lines: tuple[str, ...], cause: str
) -> None:
    assert cause in identify(GOOD, *lines).refusal


def test_tokens_in_two_headers_are_refused_though_one_is_good() -> None:
    _, _, plain = said({"sub": "admin"}).partition(" ")

    found = identify(GOOD, said(CLAIMS), issuers=(DEMO, PARTNER), x_partner=plain)

    assert (
        found.refusal
        == "token of issuer demo: more than one header holds a token: authorization and x-partner"
    )


@pytest.mark.parametrize(
    "message", ["Jwt verification fails", "Jwt is expired", "Jwt issuer is not configured"]
)
def test_a_good_token_beside_one_that_failed_is_refused(message: str) -> None:
    """Envoy looks at all tokens that it finds; the one that extauthz sees may be the other."""
    found = identify(GOOD | failure(message), said(CLAIMS))

    assert found.refusal == f"token of issuer demo: {message}"


def test_a_good_token_beside_another_issuers_that_failed_is_refused() -> None:
    tokens = GOOD | failure("Jwt verification fails", issuer="partner")

    found = identify(tokens, said(CLAIMS), issuers=(DEMO, PARTNER))

    assert found.refusal == "token of issuer demo: Jwt verification fails"


def test_a_good_token_of_a_provider_that_no_setting_names_is_refused() -> None:
    found = identify({"stranger.header": {"alg": "RS256"}}, said(CLAIMS))

    assert found.refusal == "a token of a provider that extauthz.issuers does not name"


def test_good_tokens_of_two_issuers_are_refused() -> None:
    tokens = GOOD | {"partner.header": {"alg": "RS256"}}

    assert "tokens of several issuers" in identify(tokens, said(CLAIMS), issuers=(DEMO, PARTNER)).refusal


def test_a_header_has_one_prefix() -> None:
    with pytest.raises(ValueError, match="'x-t' is there twice; a header has one prefix"):
        Issuer(name="demo", headers=(TokenHeader(name="x-t"), TokenHeader(name="X-T", prefix="")))
