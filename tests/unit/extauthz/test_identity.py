"""Each rule of extauthz.identity; a refusal is `invalid_credential` with this cause."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from check_requests import NO_TOKEN, failure, token

from access import ANONYMOUS, AuthMethod, Subject
from extauthz.asked import Asked
from extauthz.identity import Identities, Identity
from extauthz.identity_settings import IdentitySettings, Issuer

DEMO = Issuer(name="demo", roles=("*",))
CORP = Issuer(name="corp", subject="corp:{sub}", roles_claim="realm.roles", roles=("staff", "admin"))
MAIL = Issuer(name="mail", subject="{email}")
BEARER = ("Bearer abc.def.ghi",)


def identify(tokens: dict[str, Any], authorization: Sequence[str], issuers: Sequence[Issuer]) -> Identity:
    # Templates that settings would refuse: what identity does must not hang on that.
    settings = IdentitySettings.model_construct(issuers=tuple(issuers))
    return Identities(settings).identify(Asked(tokens=tokens, authorization=tuple(authorization)))


def alice(*roles: str, name: str = "alice", issuer: str = "demo") -> Subject:
    return Subject(name, roles, AuthMethod.JWT, issuer)


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        pytest.param(token(), alice(), id="a subject without roles"),
        pytest.param(token(roles=["a", "b", "a"]), alice("role:a", "role:b"), id="roles once each, prefixed"),
        pytest.param(token(roles="a"), alice("role:a"), id="one role as a text"),
        pytest.param(token(roles=[]), alice(), id="an empty list of roles"),
        pytest.param(
            token(roles=["role:admin"]), alice("role:role:admin"), id="a role cannot bring its own prefix"
        ),
        pytest.param(
            token(issuer="corp", realm={"roles": ["staff", "boss"]}),
            alice("role:staff", name="corp:alice", issuer="corp"),
            id="only listed roles, a nested claim, a template",
        ),
        pytest.param(
            token(issuer="corp", **{"realm.roles": ["admin"]}),
            alice("role:admin", name="corp:alice", issuer="corp"),
            id="a claim whose name has a dot",
        ),
        pytest.param(
            token(issuer="mail", email="a@x.example", roles=["admin"]),
            alice(name="a@x.example", issuer="mail"),
            id="no role is believed by default",
        ),
        pytest.param(token("x" * 256), alice(name="x" * 256), id="the longest subject"),
        pytest.param(token("anonymously"), alice(name="anonymously"), id="not quite anonymous"),
        pytest.param(token("roles:x"), alice(name="roles:x"), id="not quite a role"),
        pytest.param(token("Zoë"), alice(name="Zoë"), id="letters outside ASCII"),
        pytest.param(token(roles=["r"] * 64), alice("role:r"), id="as many roles as can be"),
        pytest.param(
            {**token(), **failure("Jwt is expired", issuer="corp")}, alice(), id="another issuer failed"
        ),
    ],
)
def test_a_verified_token_makes_a_subject(tokens: dict[str, Any], expected: Subject) -> None:
    assert Identity(expected) == identify(tokens, BEARER, (DEMO, CORP, MAIL))


def test_a_token_that_envoy_took_out_of_the_request_makes_a_subject_too() -> None:
    assert Identity(alice()) == identify(token(), (), (DEMO,))


@pytest.mark.parametrize(
    "tokens",
    [
        pytest.param({}, id="nothing said"),
        pytest.param(NO_TOKEN, id="missing"),
        pytest.param({**NO_TOKEN, **failure("Jwt is missing", issuer="corp")}, id="missing for each issuer"),
    ],
)
def test_no_credentials_are_anonymous(tokens: dict[str, Any]) -> None:
    assert Identity(ANONYMOUS) == identify(tokens, (), (DEMO, CORP))


@pytest.mark.parametrize(
    ("tokens", "cause"),
    [
        pytest.param(token(""), "claim sub is no text", id="empty subject"),
        pytest.param({"demo": {}}, "claim sub is missing", id="no subject"),
        pytest.param({"demo": {"sub": 7.0}}, "claim sub is no text", id="a number"),
        pytest.param({"demo": {"sub": ["alice"]}}, "claim sub is no text", id="a list"),
        pytest.param({"demo": {"sub": None}}, "claim sub is missing", id="null"),
        pytest.param({"demo": "alice"}, "the payload is no object", id="no object"),
        pytest.param(token("*"), "the subject is a name that the policy reserves", id="everyone"),
        pytest.param(token("anonymous"), "the subject is a name that the policy reserves", id="anonymous"),
        pytest.param(token("anonymous@x"), "the subject is a name that the policy reserves", id="anonymous@"),
        pytest.param(token("role:admin"), "the subject is a name that the policy reserves", id="a role"),
        pytest.param(token("role:"), "the subject is a name that the policy reserves", id="the prefix"),
        pytest.param(token("a\nb"), "the subject has control characters", id="line break"),
        pytest.param(token("a\x00b"), "the subject has control characters", id="NUL"),
        pytest.param(token("a\x7fb"), "the subject has control characters", id="DEL"),
        pytest.param(token("a\u0085b"), "the subject has control characters", id="C1 control"),
        pytest.param(token("a\u202eb"), "the subject has control characters", id="right-to-left override"),
        pytest.param(token("a\u200bb"), "the subject has control characters", id="zero-width space"),
        pytest.param(token("a\u115fb"), "the subject has invisible characters", id="Hangul filler"),
        pytest.param(token("a\u3164"), "the subject has invisible characters", id="another Hangul filler"),
        pytest.param(token("a\uffa0"), "the subject has invisible characters", id="a narrow Hangul filler"),
        pytest.param(token("a\u034f"), "the subject has invisible characters", id="grapheme joiner"),
        pytest.param(token("a\u17b4"), "the subject has invisible characters", id="Khmer inherent vowel"),
        pytest.param(token("a\u180b"), "the subject has invisible characters", id="Mongolian selector"),
        pytest.param(
            token("a\u180f"), "the subject has invisible characters", id="the last Mongolian selector"
        ),
        pytest.param(token("a\ufe0f"), "the subject has invisible characters", id="variation selector"),
        pytest.param(
            token("a\U000e01ef"), "the subject has invisible characters", id="variation selector 256"
        ),
        pytest.param(token("a\u2065"), "the subject has invisible characters", id="an ignorable to come"),
        pytest.param(token("Zoe\u0308"), "the subject is not in Unicode's normal form C", id="decomposed"),
        pytest.param(token("5 \u212a"), "the subject is not in Unicode's normal form C", id="Kelvin sign"),
        pytest.param(token(" alice"), "the subject begins or ends with a space", id="leading space"),
        pytest.param(token("alice\u00a0"), "the subject begins or ends with a space", id="trailing space"),
        pytest.param(token("x" * 257), "the subject is longer than 256 bytes", id="too long"),
        pytest.param(token("ë" * 129), "the subject is longer than 256 bytes", id="too long in bytes"),
        pytest.param(token(roles=7.0), "claim roles is no list of texts", id="roles are a number"),
        pytest.param(token(roles={"a": True}), "claim roles is no list of texts", id="roles are an object"),
        pytest.param(token(roles=["a", 7.0]), "claim roles is no list of texts", id="one role is a number"),
        pytest.param(token(roles=["r"] * 65), "claim roles has more than 64 roles", id="too many roles"),
        pytest.param(
            token(roles=["a,b"]), "claim roles has a role with characters that no role has", id="comma"
        ),
        pytest.param(
            token(roles=[""]), "claim roles has a role with characters that no role has", id="empty role"
        ),
        pytest.param(
            token(roles=["a\n"]),
            "claim roles has a role with characters that no role has",
            id="line break in a role",
        ),
        pytest.param(
            token(roles=["r" * 129]),
            "claim roles has a role with characters that no role has",
            id="long role",
        ),
    ],
)
def test_a_verified_token_that_names_no_possible_subject_is_refused(
    tokens: dict[str, Any], cause: str
) -> None:
    expected = Identity(Subject("", (), AuthMethod.JWT, "demo"), f"token of issuer demo: {cause}")

    assert expected == identify(tokens, BEARER, (DEMO,))


@pytest.mark.parametrize(
    ("template", "claims"),
    [
        pytest.param("{kind}:{sub}", {"kind": "role", "sub": "admin"}, id="from two claims"),
        pytest.param("ro{sub}", {"sub": "le:admin"}, id="from a prefix and a claim"),
        pytest.param("a{sub}", {"sub": "nonymous"}, id="anonymous"),
    ],
)
def test_the_whole_name_counts_not_the_claim_alone(template: str, claims: dict[str, str]) -> None:
    issuer = Issuer(name="demo", subject=template)

    identity = identify({"demo": claims}, BEARER, (issuer,))

    assert identity.refusal == "token of issuer demo: the subject is a name that the policy reserves"


@pytest.mark.parametrize(
    ("template", "claims", "found"),
    [
        pytest.param("{org}:{sub}", {"org": "a", "sub": "b:c"}, "a:b:c", id="the last claim may hold it"),
        pytest.param("{org}:{sub}", {"org": "a:b", "sub": "c"}, "", id="the first may not"),
        pytest.param("{org}::{sub}", {"org": "a:", "sub": "c"}, "", id="nor begin it"),
        pytest.param(
            "{org}::{sub}", {"org": "a", "sub": ":c"}, "a:::c", id="the last claim may go on with it"
        ),
        pytest.param(
            "{iss}/{sub}", {"iss": "https://id", "sub": "c"}, "https://id/c", id="the issuer is fixed"
        ),
        pytest.param("{a}:{b}/{c}", {"a": "1", "b": "2/3", "c": "4"}, "", id="nor one in the middle"),
    ],
)
def test_two_pairs_of_claims_are_never_one_subject(template: str, claims: dict[str, str], found: str) -> None:
    identity = identify({"demo": claims}, BEARER, (Issuer(name="demo", subject=template),))

    assert found == identity.subject.name
    assert bool(found) is not ("which ends it in the subject" in identity.refusal)


@pytest.mark.parametrize(
    "authorization",
    [
        pytest.param("Basic YWxhZGRpbjpvcGVuc2VzYW1l", id="basic"),
        pytest.param("bearer abc.def.ghi", id="lower-case bearer"),
        pytest.param("BEARER abc.def.ghi", id="upper-case bearer"),
        pytest.param("Bearer", id="no token"),
        pytest.param("Digest username=x", id="digest"),
        pytest.param("", id="empty"),
    ],
)
@pytest.mark.parametrize("tokens", [pytest.param({}, id="silence"), pytest.param(NO_TOKEN, id="missing")])
def test_an_authorization_header_that_nothing_verified_is_never_anonymous(
    authorization: str, tokens: dict[str, Any]
) -> None:
    for headers in ((authorization,), (authorization, authorization)):
        identity = identify(tokens, headers, (DEMO,))

        assert identity.refusal == "an Authorization header that no issuer verified"
        assert not identity.subject.name


@pytest.mark.parametrize(
    "authorization",
    [
        pytest.param(["Basic x, Bearer abc.def.ghi"], id="two schemes in one"),
        pytest.param(["Basic x", "Bearer abc.def.ghi"], id="two schemes in two headers"),
        pytest.param(["Bearer abc.def.ghi", "Bearer abc.def.ghi"], id="the token twice"),
        pytest.param(["bearer abc.def.ghi"], id="another header than the verified one"),
        pytest.param(["xBearer abc.def.ghi"], id="something before the scheme"),
        pytest.param(["Bearer  abc.def.ghi"], id="two spaces"),
        pytest.param(["Bearer abc.def.ghi and more"], id="more behind the token"),
        pytest.param(["Bearer abc.def.ghi=x"], id="more that Envoy cuts off the token"),
    ],
)
def test_a_header_that_holds_more_than_the_verified_token_is_refused(authorization: list[str]) -> None:
    identity = identify(token(), authorization, (DEMO,))

    assert (
        identity.refusal
        == "token of issuer demo: the Authorization header holds more than the verified token"
    )


@pytest.mark.parametrize(
    ("tokens", "refusal", "issuer"),
    [
        pytest.param(
            failure("Jwt is expired", 3), "token of issuer demo: Jwt is expired", "demo", id="expired"
        ),
        pytest.param(
            failure("Jwt verification fails"),
            "token of issuer demo: Jwt verification fails",
            "demo",
            id="signature",
        ),
        pytest.param(
            failure("Audiences in Jwt are not allowed"),
            "token of issuer demo: Audiences in Jwt are not allowed",
            "demo",
            id="audience",
        ),
        pytest.param(
            {**failure("Jwt issuer is not configured"), **failure("Jwt is expired", issuer="corp")},
            "token of issuer corp: Jwt is expired",
            "corp",
            id="the issuer that knows the token tells",
        ),
        pytest.param(
            {
                **failure("Jwt issuer is not configured"),
                **failure("Jwt issuer is not configured", issuer="corp"),
            },
            "a token of an issuer that is not configured",
            "",
            id="no issuer knows the token",
        ),
        pytest.param(
            {"demo.failed": {"code": 9.0}},
            "token of issuer demo: verification failed",
            "demo",
            id="without a message",
        ),
        pytest.param(
            {"demo.failed": "x"}, "token of issuer demo: verification failed", "demo", id="no object"
        ),
        pytest.param(
            token(issuer="other"),
            "a token of a provider that extauthz.issuers does not name",
            "",
            id="stranger",
        ),
        pytest.param(
            failure("Jwt is expired", issuer="other"),
            "a token of a provider that extauthz.issuers does not name",
            "",
            id="a stranger's failure",
        ),
    ],
)
def test_a_failed_token_is_refused_with_its_cause(tokens: dict[str, Any], refusal: str, issuer: str) -> None:
    for authorization in ((), BEARER):
        identity = identify(tokens, authorization, (DEMO, CORP))

        assert refusal == identity.refusal
        assert issuer == identity.subject.issuer
        assert not identity.subject.name


def test_tokens_of_two_issuers_in_one_request_are_refused() -> None:
    identity = identify({**token(), **token("bob", "corp")}, BEARER, (DEMO, CORP))

    assert identity.refusal == "tokens of several issuers in one request: demo and corp"
