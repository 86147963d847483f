"""The settings of identity: which credentials are taken, and what each one means to the policy."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from access.subject import ANONYMOUS_NAME, ROLE_PREFIX
from extauthz.identity_name import FIELD, ROLE, subject_problem
from service.settings import Section

if TYPE_CHECKING:
    from collections.abc import Iterator

Kind = Literal["jwt", "mtls", "api_key"]

_HEADER = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
# Headers that Envoy or the gate gives a meaning of its own: a credential there would be read twice, or removed.
_TAKEN = re.compile(
    r"host|content-.*|transfer-encoding|connection|upgrade|te|cookie|x-request-id|x-subject|x-roles|"
    r"x-decision-id|x-forwarded-.*|x-envoy-.*|x-real-ip|forwarded|proxy.*|"
    # Of these Envoy's log entries have the value.
    r"user-agent|referer|traceparent|tracestate"
)
_DIGEST = re.compile(r"[0-9a-f]{64}")
CERTIFICATE_FIELDS = ("uri", "dns", "subject")


def _header(name: str) -> str:
    name = name.lower()
    if not _HEADER.fullmatch(name) or _TAKEN.fullmatch(name):
        raise ValueError("must be the name of a request header that nothing else uses, such as x-api-key")
    return name


Header = Annotated[str, AfterValidator(_header)]
"""The name of a request header, in lower case."""


class TokenHeader(Section):
    """Where a token stands in a request."""

    name: Header = Field("authorization", description="The header.")
    prefix: str = Field("Bearer ", description='What stands before the token; "" for nothing.')


class Issuer(Section):
    """A token issuer that Envoy's jwt_authn verifies, and what its claims mean to the policy."""

    name: str = Field(
        description="Name of the jwt_authn provider. The header of a verified token is expected in the metadata key "
        "NAME.header (or its payload in NAME), a failure in NAME.failed."
    )
    subject: str = Field(
        "{sub}",
        description="Template of the subject, from claims: {sub}, {iss}, {email}, … With several issuers each "
        "begins with a text of its own, such as corp:{sub} and partner:{sub}, and none of these texts "
        "begins another.",
    )
    roles_claim: str = Field("roles", description="Claim that lists the roles; dots descend into objects.")
    roles: tuple[str, ...] = Field(
        (), description='Roles that this issuer may assert, without "role:"; "*" for all. Default: none.'
    )
    headers: tuple[TokenHeader, ...] = Field(
        (TokenHeader(),),
        min_length=1,
        description="Where its tokens stand; nowhere else they are looked for.",
    )

    @field_validator("name")
    @classmethod
    def _named(cls, name: str) -> str:
        if not name or name.endswith((".failed", ".header")):
            raise ValueError(
                "must be a jwt_authn provider's name, which is not empty nor ends in .failed or .header"
            )
        return name

    @field_validator("subject")
    @classmethod
    def _template(cls, template: str) -> str:
        return _checked(template)

    @field_validator("headers")
    @classmethod
    def _once_each(cls, headers: tuple[TokenHeader, ...]) -> tuple[TokenHeader, ...]:
        names = [header.name for header in headers]
        if twice := next((name for name in names if names.count(name) > 1), ""):
            raise ValueError(f"{twice!r} is there twice; a header has one prefix: name it once")
        return headers


class ClientCertificates(Section):
    """Client certificates that a listener verified against its CA, as subjects."""

    subject: str = Field(
        "{uri}",
        description="Template of the subject: {uri} (the one URI name, such as a SPIFFE id), {dns} (the one DNS "
        "name) or {subject} (the distinguished name, RFC 4514). A certificate with none or several of what the "
        "template wants is refused.",
    )

    @field_validator("subject")
    @classmethod
    def _template(cls, template: str) -> str:
        unknown = [name for name in FIELD.findall(template) if name not in CERTIFICATE_FIELDS]
        if unknown:
            raise ValueError(
                f"{{{unknown[0]}}} is nothing that a certificate has; use {{uri}}, {{dns}} or {{subject}}"
            )
        return _checked(template)


class ApiKey(Section):
    """One key. Two with the same name, while one replaces the other, are the same subject."""

    name: str = Field(description="Whose key it is: {name} in the template of the subject.")
    sha256: str = Field(description="SHA-256 of the key, in hex: `printf %s KEY | sha256sum`.")
    roles: tuple[str, ...] = Field((), description='Roles of the subject, without "role:".')

    @field_validator("sha256")
    @classmethod
    def _digest(cls, digest: str) -> str:
        if not _DIGEST.fullmatch(digest):
            raise ValueError("must be 64 lower-case hex digits, the SHA-256 of the key; never the key itself")
        return digest

    @field_validator("roles")
    @classmethod
    def _roles(cls, roles: tuple[str, ...]) -> tuple[str, ...]:
        if bad := [role for role in roles if not ROLE.fullmatch(role)]:
            raise ValueError(f"{bad[0]!r} has characters that no role has")
        return roles


class ApiKeys(Section):
    """API keys, of which only hashes are known here. A key has at least 32 characters."""

    header: Header = Field(
        "x-api-key", description="The header in which a key comes; removed before the upstream."
    )
    subject: str = Field("{name}", description="Template of the subject, from the key's name.")
    keys: tuple[ApiKey, ...] = Field(min_length=1, description="The keys.")

    @field_validator("header")
    @classmethod
    def _apart(cls, header: str) -> str:
        if header == "authorization":
            raise ValueError("must not be authorization, where tokens stand; x-api-key is usual")
        return header

    @field_validator("subject")
    @classmethod
    def _template(cls, template: str) -> str:
        if FIELD.findall(template) != ["name"]:
            raise ValueError('must name {name} once, and nothing else in braces, like "key:{name}"')
        return _checked(template)

    @model_validator(mode="after")
    def _names(self) -> Self:
        owners: dict[str, str] = {}
        for key in self.keys:
            if problem := subject_problem(self.subject.replace("{name}", key.name)):
                raise ValueError(f"keys: {key.name!r}: the subject {problem}")
            if key.sha256 in owners:
                raise ValueError(f"keys: {owners[key.sha256]!r} and {key.name!r} have the same key")
            owners[key.sha256] = key.name
        return self


class Sources(Section):
    """Who may ask: what the gate verified, and which subject that is."""

    issuers: tuple[Issuer, ...] = Field((), description="Token issuers whose verified claims make subjects.")
    client_certificates: ClientCertificates | None = Field(
        None, description="Subjects from client certificates. Default: certificates make no subject."
    )
    api_keys: ApiKeys | None = Field(None, description="API keys. Default: none.")
    precedence: tuple[Kind, ...] = Field(
        ("jwt", "api_key", "mtls"),
        description="Which credential names the subject where a request has several, the first that came. All "
        "that came must be good.",
    )

    @field_validator("precedence")
    @classmethod
    def _order(cls, precedence: tuple[Kind, ...]) -> tuple[Kind, ...]:
        if sorted(precedence) != ["api_key", "jwt", "mtls"]:
            raise ValueError("must name each of jwt, api_key and mtls once")
        return precedence

    @model_validator(mode="after")
    def _apart(self) -> Self:
        """No source, whatever it writes into its names, can speak for another one's subjects."""
        for one, other in itertools.combinations([issuer.name for issuer in self.issuers], 2):
            if one == other:
                raise ValueError(f"issuers: two issuers have the same name {one!r}; each needs its own")
        for one_source, other_source in itertools.combinations(self._templates(), 2):
            _refuse_alike(*one_source, *other_source)
        return self

    @model_validator(mode="after")
    def _headers_apart(self) -> Self:
        if self.api_keys and any(self.api_keys.header == name for name in self._token_headers()):
            raise ValueError(
                f"api_keys: header: {self.api_keys.header!r} is where tokens stand; choose another one"
            )
        return self

    @property
    def asserted_roles(self) -> frozenset[str]:
        """The roles (role:NAME) that credentials may bring; "*" among them: any."""
        keys = self.api_keys.keys if self.api_keys else ()
        named = [role for issuer in self.issuers for role in issuer.roles]
        named += [role for key in keys for role in key.roles]
        return frozenset(role if role == "*" else ROLE_PREFIX + role for role in named)

    def _templates(self) -> Iterator[tuple[str, str]]:
        for issuer in self.issuers:
            yield f"issuers: {issuer.name!r}", issuer.subject
        if self.client_certificates:
            yield "'client_certificates'", self.client_certificates.subject
        if self.api_keys:
            yield "'api_keys'", self.api_keys.subject

    def _token_headers(self) -> Iterator[str]:
        for issuer in self.issuers:
            for header in issuer.headers:
                yield header.name


class IdentitySettings(Sources):
    """The sources, and which of them each service takes."""

    accepts: dict[str, tuple[str, ...]] = Field(
        {},
        description="Which credentials a service takes, by its name: jwt, jwt:ISSUER, mtls, api_key. Services "
        "that are not named take all. Whether it lets anonymous in is the policy's word.",
    )

    @model_validator(mode="after")
    def _known(self) -> Self:
        known = {"jwt", "mtls", "api_key", *(f"jwt:{issuer.name}" for issuer in self.issuers)}
        for service, kinds in self.accepts.items():
            if strange := [kind for kind in kinds if kind not in known]:
                raise ValueError(
                    f"accepts: {service}: {strange[0]!r} is no credential; known are {', '.join(sorted(known))}"
                )
        return self


def _checked(template: str) -> str:
    if not FIELD.search(template) or set("{}") & set(FIELD.sub("", template)):
        raise ValueError('must name at least one claim in braces, like "{sub}"')
    if "}{" in template:
        raise ValueError('must have a text between two claims, like "{tenant}:{sub}"')
    prefix = _prefix(template)
    # Whole names are looked at with each request; this tells at the start what could only ever be refused.
    problem = subject_problem(f"{prefix}x")
    if prefix.startswith(ANONYMOUS_NAME):
        problem = "could be a name that the policy reserves"
    if problem:
        raise ValueError(f"must not begin with {prefix!r}: the subject {problem}")
    return template


def _prefix(template: str) -> str:
    """What every subject of a template begins with, whatever the claims say."""
    return template.partition("{")[0]


def _refuse_alike(one: str, template: str, other: str, other_template: str) -> None:
    prefixes = _prefix(template), _prefix(other_template)
    if prefixes[0].startswith(prefixes[1]) or prefixes[1].startswith(prefixes[0]):
        raise ValueError(
            f"{one} and {other.removeprefix('issuers: ')} could each name the other's subjects, because "
            f"their templates {template!r} and {other_template!r} begin alike; begin each with a text "
            f'of its own before the first claim, such as "corp:{{sub}}" and "partner:{{sub}}", where '
            "neither text begins the other"
        )
