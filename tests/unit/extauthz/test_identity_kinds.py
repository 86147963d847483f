"""Client certificates, API keys, and what becomes of several credentials in one request."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from check_requests import NO_TOKEN, check_request, failure, parsed, token
from pydantic import ValidationError
from throwaway_ca import ThrowawayCa

from access import ANONYMOUS, AccessRequest, AuthMethod, Decision, ReasonCode, Subject
from extauthz import wire
from extauthz.asked import Asked
from extauthz.identity import Identities
from extauthz.identity_settings import IdentitySettings

KEY = "k" * 32
OTHER = "o" * 32
BEARER = ("Bearer abc.def.ghi",)
JWT = {"issuers": [{"name": "demo", "subject": "jwt:{sub}"}]}
MTLS = {"client_certificates": {"subject": "cert:{uri}"}}
KEYS = {
    "api_keys": {
        "subject": "key:{name}",
        "keys": [{"name": "nightly", "sha256": hashlib.sha256(KEY.encode()).hexdigest(), "roles": ["batch"]}],
    }
}
ALICE = Subject("jwt:alice", (), AuthMethod.JWT, "demo")
NIGHTLY = Subject(
    "key:nightly",
    ("role:batch",),
    AuthMethod.API_KEY,
    f"sha256:{hashlib.sha256(KEY.encode()).hexdigest()[:12]}",
)
WORKER = Subject("cert:spiffe://x/worker", (), AuthMethod.MTLS, "CN=test CA")


def identities(*parts: dict[str, Any], **more: Any) -> Identities:
    merged: dict[str, Any] = more
    for part in parts:
        merged = {**merged, **part}
    return Identities(IdentitySettings.model_validate(merged))


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> ThrowawayCa:
    return ThrowawayCa(tmp_path_factory.mktemp("ca"))


def sent(path: Path) -> str:
    """A certificate as Envoy sends it."""
    return quote(path.read_text(), safe="")


def certificate(ca: ThrowawayCa, *names: str, common_name: str = "worker") -> str:
    return sent(ca.issue("client", *names, common_name=common_name).certificate)


@pytest.mark.parametrize(
    ("template", "names", "subject"),
    [
        pytest.param("{uri}", ["spiffe://x/worker"], "spiffe://x/worker", id="a SPIFFE id"),
        pytest.param(
            "mesh:{uri}", ["spiffe://x/worker", "a.example"], "mesh:spiffe://x/worker", id="beside a DNS name"
        ),
        pytest.param("{dns}", ["a.example", "spiffe://x/worker"], "a.example", id="a DNS name"),
        pytest.param("{subject}", ["spiffe://x/worker"], "CN=worker", id="the distinguished name"),
    ],
)
def test_a_verified_certificate_makes_a_subject(
    ca: ThrowawayCa, template: str, names: list[str], subject: str
) -> None:
    found = identities({"client_certificates": {"subject": template}}).identify(
        Asked(certificate=certificate(ca, *names))
    )

    assert not found.refusal
    assert found.subject == Subject(subject, (), AuthMethod.MTLS, "CN=test CA")


@pytest.mark.parametrize(
    ("template", "names", "common_name", "cause"),
    [
        pytest.param(
            "{uri}",
            ["a.example"],
            "x",
            "it has no URI name, where one is wanted",
            id="a name of another kind",
        ),
        pytest.param("{uri}", ["spiffe://a", "spiffe://b"], "x", "it has 2 URI names", id="two of them"),
        pytest.param("{dns}", [], "a.example", "it has no DNS name", id="a common name is no DNS name"),
        pytest.param(
            "{uri}", ["role://admin"], "x", "the subject is a name that the policy reserves", id="a role"
        ),
        pytest.param(
            "{dns}", ["anonymous"], "x", "the subject is a name that the policy reserves", id="anonymous"
        ),
        pytest.param("{dns}", ["*"], "x", "the subject is a name that the policy reserves", id="everyone"),
        pytest.param("{uri}", ["spiffe://" + "x" * 300], "x", "longer than 256 bytes", id="too long"),
        pytest.param("{subject}", [], "a\nb", "the subject has control characters", id="line break"),
    ],
)
def test_a_certificate_that_names_no_possible_subject_is_refused(
    ca: ThrowawayCa, template: str, names: list[str], common_name: str, cause: str
) -> None:
    found = identities({"client_certificates": {"subject": template}}).identify(
        Asked(certificate=certificate(ca, *names, common_name=common_name))
    )

    assert cause in found.refusal
    assert (found.subject.name, found.subject.auth_method) == ("", AuthMethod.MTLS)


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "-----BEGIN CERTIFICATE-----",
        "%00%ff%zz",
        quote("-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n"),
    ],
)
def test_a_certificate_that_cannot_be_read_is_refused(text: str) -> None:
    assert (
        identities(MTLS).identify(Asked(certificate=text)).refusal == "client certificate: it cannot be read"
    )


def test_a_certificate_means_nothing_where_the_settings_do_not_speak_of_it(ca: ThrowawayCa) -> None:
    assert identities().identify(Asked(certificate=certificate(ca, "spiffe://x"))).subject == ANONYMOUS


@pytest.mark.parametrize(
    ("lines", "refusal"),
    [
        pytest.param((KEY,), "", id="a key"),
        pytest.param((OTHER,), "API key: it is nobody's", id="nobody's"),
        pytest.param((KEY, KEY), "API key: the header came 2 times", id="twice"),
        pytest.param(("",), "API key: a key has between 32 and 512 characters", id="empty"),
        pytest.param((KEY[1:],), "API key: a key has between 32 and 512 characters", id="short"),
        pytest.param((KEY * 17,), "API key: a key has between 32 and 512 characters", id="long"),
        pytest.param((KEY + ",",), "API key: it is nobody's", id="a comma behind it"),
        pytest.param(("\xff" * 32,), "API key: it is nobody's", id="bytes outside ASCII"),
        pytest.param(("\u2713" * 32,), "API key: it is nobody's", id="characters outside Latin-1"),
    ],
)
def test_a_key_is_its_owner_or_nobody(lines: tuple[str, ...], refusal: str) -> None:
    found = identities(KEYS).identify(Asked(credentials={"x-api-key": lines}))

    assert found.refusal == refusal
    assert found.subject == (Subject("", auth_method=AuthMethod.API_KEY) if refusal else NIGHTLY)


def test_what_is_short_is_no_key_even_if_the_settings_have_its_hash() -> None:
    keys = [{"name": "weak", "sha256": hashlib.sha256(b"hunter2").hexdigest()}]
    found = identities({"api_keys": {"keys": keys}}).identify(Asked(credentials={"x-api-key": ("hunter2",)}))

    assert "between 32 and 512" in found.refusal


@pytest.fixture(scope="module")
def worker(ca: ThrowawayCa) -> str:
    return certificate(ca, "spiffe://x/worker")


@pytest.mark.parametrize(
    ("precedence", "tokens", "key", "with_certificate", "expected"),
    [
        pytest.param(["jwt", "api_key", "mtls"], token(), KEY, True, ALICE, id="all three: a token"),
        pytest.param(["mtls", "jwt", "api_key"], token(), KEY, True, WORKER, id="all three: a certificate"),
        pytest.param(["api_key", "mtls", "jwt"], token(), KEY, True, NIGHTLY, id="all three: a key"),
        pytest.param(
            ["jwt", "api_key", "mtls"], NO_TOKEN, "", True, WORKER, id="the last of the order alone"
        ),
        pytest.param(["mtls", "api_key", "jwt"], NO_TOKEN, KEY, False, NIGHTLY, id="the second alone"),
        pytest.param(["jwt", "api_key", "mtls"], NO_TOKEN, "", False, ANONYMOUS, id="none"),
    ],
)
def test_of_several_good_credentials_the_first_of_the_order_names_the_subject(
    worker: str,
    *,
    precedence: list[str],
    tokens: dict[str, Any],
    key: str,
    with_certificate: bool,
    expected: Subject,
) -> None:
    asked = Asked(
        tokens=tokens,
        authorization=BEARER if "demo" in tokens else (),
        credentials={"x-api-key": (key,)} if key else {},
        certificate=worker if with_certificate else "",
    )
    found = identities(JWT, MTLS, KEYS, precedence=precedence).identify(asked)

    assert (found.subject, found.refusal) == (expected, "")


@pytest.mark.parametrize("precedence", [["jwt", "api_key", "mtls"], ["mtls", "api_key", "jwt"]])
@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        pytest.param(
            {"tokens": failure("Jwt is expired")}, "token of issuer demo: Jwt is expired", id="token"
        ),
        pytest.param({"credentials": {"x-api-key": (OTHER,)}}, "API key: it is nobody's", id="key"),
        pytest.param({"certificate": "x"}, "client certificate: it cannot be read", id="certificate"),
        pytest.param({"tokens": NO_TOKEN}, "an Authorization header that no issuer verified", id="header"),
    ],
)
def test_one_bad_credential_is_refused_whatever_stands_beside_it(
    worker: str, precedence: list[str], change: dict[str, Any], refusal: str
) -> None:
    good = {
        "tokens": token(),
        "authorization": BEARER,
        "credentials": {"x-api-key": (KEY,)},
        "certificate": worker,
    }
    found = identities(JWT, MTLS, KEYS, precedence=precedence).identify(Asked(**{**good, **change}))

    assert found.refusal == refusal
    assert not found.subject.name


@pytest.mark.parametrize(
    ("accepts", "refusal"),
    [
        pytest.param({}, "", id="all"),
        pytest.param({"orders": ["jwt"]}, "", id="any token"),
        pytest.param({"orders": ["jwt:demo"]}, "", id="tokens of this issuer"),
        pytest.param(
            {"orders": ["mtls", "api_key"]}, "service orders does not take this token", id="others only"
        ),
        pytest.param({"orders": []}, "service orders does not take this token", id="nothing"),
        pytest.param({"billing": []}, "", id="another service"),
    ],
)
def test_a_service_takes_the_credentials_that_it_names(accepts: dict[str, Any], refusal: str) -> None:
    asked = Asked(tokens=token(), authorization=BEARER, service="orders")
    found = identities(JWT, MTLS, KEYS, accepts=accepts).identify(asked)

    assert found.refusal == refusal


def test_anonymous_is_no_credential_that_a_service_could_refuse() -> None:
    asked = Asked(tokens=NO_TOKEN, service="orders")

    assert identities(JWT, accepts={"orders": ["jwt"]}).identify(asked).subject == ANONYMOUS


@pytest.mark.parametrize(
    ("headers", "refusal"),
    [
        pytest.param({"x-token": ("abc.def.ghi",)}, "", id="in its header"),
        pytest.param({"x-token": ("abc.def.ghi", "x")}, "the X-Token header holds more", id="twice"),
        pytest.param(
            {"x-token": ("abc.def.ghi x",)}, "the X-Token header holds more", id="more than a token"
        ),
    ],
)
def test_a_token_in_a_header_of_its_own(headers: dict[str, tuple[str, ...]], refusal: str) -> None:
    known = identities({"issuers": [{"name": "demo", "headers": [{"name": "X-Token", "prefix": ""}]}]})
    found = known.identify(Asked(tokens=token(), credentials=headers))

    assert known.headers == {"x-token"}
    assert refusal in found.refusal
    assert bool(refusal) is bool(found.refusal)


def test_what_nothing_verified_in_a_tokens_header_is_never_anonymous() -> None:
    known = identities({"issuers": [{"name": "demo", "headers": [{"name": "x-token", "prefix": "T "}]}]})

    assert known.identify(Asked(tokens=NO_TOKEN, credentials={"x-token": ("x",)})).refusal


def test_credentials_are_seen_line_by_line_and_kept_from_the_upstream() -> None:
    message = check_request(headers=[("X-Api-Key", b"a"), ("x-api-key", b"b"), ("x-other", b"c")])
    asked = wire.asked_from(message, frozenset({"x-api-key"}))

    assert asked.credentials == {"x-api-key": ("a", "b")}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param(
            {"client_certificates": {"subject": "{cn}"}}, "{cn} is nothing that a certificate has", id="cn"
        ),
        pytest.param({"client_certificates": {"subject": "worker"}}, "at least one claim", id="a fixed name"),
        pytest.param(
            {**JWT, "client_certificates": {}}, "could each name the other's subjects", id="alike: token"
        ),
        pytest.param(
            {**KEYS, "client_certificates": {}}, "could each name the other's subjects", id="alike: key"
        ),
        pytest.param({"precedence": ["jwt"]}, "each of jwt, api_key and mtls once", id="half an order"),
        pytest.param({"accepts": {"a": ["basic"]}}, "'basic' is no credential", id="unknown kind"),
        pytest.param({"accepts": {"a": ["jwt:x"]}}, "'jwt:x' is no credential", id="unknown issuer"),
        pytest.param(
            {"issuers": [{"name": "a", "subject": "a:{sub}", "headers": [{"name": "x-api-key"}]}], **KEYS},
            "is where tokens stand",
            id="one header for two",
        ),
        pytest.param(
            {"issuers": [{"name": "a", "subject": "a:{org}{sub}"}]},
            "a text between two claims",
            id="run together",
        ),
        pytest.param({"issuers": [{"name": "a", "headers": []}]}, "at least 1", id="nowhere"),
        pytest.param(
            {"issuers": [{"name": "a", "headers": [{"name": "cookie"}]}]},
            "that nothing else uses",
            id="cookie",
        ),
        pytest.param(
            {"api_keys": {**KEYS["api_keys"], "header": "Referer"}},
            "that nothing else uses",
            id="a header that is logged",
        ),
    ],
)
def test_settings_that_would_blur_credentials_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        IdentitySettings.model_validate(settings)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        pytest.param({"name": "", "sha256": "a" * 64}, "the subject is empty", id="no name"),
        pytest.param({"name": "role:x", "sha256": "a" * 64}, "a name that the policy reserves", id="a role"),
        pytest.param({"name": "a", "sha256": "A" * 64}, "64 lower-case hex digits", id="upper case"),
        pytest.param(
            {"name": "a", "sha256": "a" * 64, "roles": ["x,y"]}, "characters that no role has", id="comma"
        ),
        pytest.param({"name": "a", "key": KEY}, "Extra inputs", id="the key itself"),
    ],
)
def test_a_key_in_the_settings_has_a_name_and_a_hash(key: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        IdentitySettings.model_validate({"api_keys": {"keys": [key]}})


def test_no_refusal_repeats_a_credential() -> None:
    known = identities(JWT, KEYS)
    for asked in (
        Asked(credentials={"x-api-key": (OTHER,)}),
        Asked(credentials={"x-api-key": (OTHER, OTHER)}),
        Asked(authorization=(f"Bearer {OTHER}",)),
        Asked(authorization=(f"Basic {OTHER}",)),
    ):
        refusal = known.identify(asked).refusal

        assert refusal
        assert OTHER not in refusal


def test_headers_of_credentials_are_removed_with_an_allowance() -> None:
    decision = Decision("id", AccessRequest(NIGHTLY), ReasonCode.RULE_ALLOW, "allowed")
    answer = parsed(wire.answer_to(decision, 1, frozenset({"x-api-key", "x-token"})).answer)

    assert {"authorization", "x-api-key", "x-token"} <= set(answer.ok_response.headers_to_remove)
