"""The settings of extauthz."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from access.subject import ANONYMOUS_NAME
from extauthz.identity import subject_problem
from service.settings import Address, Section

Attribute = Literal["subject", "service", "resource", "action", "host", "scheme", "client_address"]

MIB = 1024 * 1024

_CLAIM = re.compile(r"\{[^{}]+\}")


class Issuer(Section):
    """A token issuer that Envoy's jwt_authn verifies, and what its claims mean to the policy."""

    name: str = Field(
        description="Name of the jwt_authn provider; its payload is expected in the metadata key NAME, "
        "its failure in NAME.failed."
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

    @field_validator("name")
    @classmethod
    def _named(cls, name: str) -> str:
        if not name or name.endswith(".failed"):
            raise ValueError("must be a jwt_authn provider's name, which is not empty nor ends in .failed")
        return name

    @field_validator("subject")
    @classmethod
    def _template(cls, template: str) -> str:
        if not _CLAIM.search(template) or set("{}") & set(_CLAIM.sub("", template)):
            raise ValueError('must name at least one claim in braces, like "{sub}"')
        prefix = _prefix(template)
        # Whole names are looked at with each token; this tells at the start what could only ever be refused.
        problem = subject_problem(f"{prefix}x")
        if prefix.startswith(ANONYMOUS_NAME):
            problem = "could be a name that the policy reserves"
        if problem:
            raise ValueError(f"must not begin with {prefix!r}: the subject {problem}")
        return template


def _prefix(template: str) -> str:
    """What every subject of a template begins with, whatever the claims say."""
    return template.partition("{")[0]


class ExtAuthzSettings(Section):
    """The decision point."""

    listen: tuple[str, ...] = Field(
        (), description="Addresses: unix:PATH or HOST:PORT. Default: unix:HOME/run/extauthz.sock."
    )
    metrics: Address = Field("127.0.0.1:9464", description="HOST:PORT of /metrics, /healthz and /readyz.")
    model: Path | None = Field(
        None, description="Casbin model file. Default: the shipped policies/model.conf."
    )
    policy: Path | None = Field(
        None, description="Casbin policy CSV. Default: the shipped policies/policy.csv."
    )
    request: tuple[Attribute, ...] = Field(
        ("subject", "service", "resource", "action"),
        description="Request attributes in the order of the model's request_definition: subject, service, "
        "resource, action, host, scheme, client_address.",
    )
    path_parameters: bool = Field(
        False,
        description="true: paths may hold parameters (/a;b=c/d), which are refused otherwise. The policy then "
        "has to allow the path with them and without them, because upstreams read it in both ways.",
    )
    issuers: tuple[Issuer, ...] = Field((), description="Token issuers whose verified claims make subjects.")
    journal: Path | None = Field(
        None,
        description="Spool for policy texts on their way to audit.policies. Default: HOME/spool/extauthz.",
    )
    decisions: Path | None = Field(
        None,
        description="Directory of the journals of decisions, a spool each worker, on their way to "
        "audit.decision_log. Default: HOME/spool/decisions.",
    )
    audit_required: bool = Field(
        False,
        description="true: a decision is answered only once its journal entry is on disk, and where that "
        "cannot be, the request is refused as `audit_unavailable`.",
    )
    journal_max_bytes: int = Field(
        4 * 1024 * MIB,
        ge=MIB,
        description="Bytes of journalled decisions on disk from which no more are taken until some are stored.",
    )
    journal_reserve_bytes: int = Field(
        128 * MIB, ge=0, description="Free bytes that the journal of decisions leaves on its disk."
    )
    journal_pending_max_bytes: int = Field(
        16 * MIB,
        ge=64 * 1024,
        description="Bytes of decisions in memory on their way to the disk; further ones are dropped and "
        "counted, or refused with audit_required.",
    )
    reload_seconds: float = Field(
        1, gt=0, description="Seconds between two looks at the policy files, beside file events."
    )
    settle_seconds: float = Field(
        2,
        gt=0,
        description="Seconds that a policy file must be left alone before it is taken, if it was changed in place "
        "or does not end with a line break; one that was replaced by renaming is taken at once.",
    )
    transport: Literal["fast", "grpcio"] = Field(
        "grpcio",
        description="What carries Checks: `fast`, gateledger's own server for plain connections (addresses beyond "
        "this machine, and reflection, stay with grpcio), or `grpcio` for all.",
    )
    max_concurrent: int = Field(
        512, ge=1, description="Checks in flight before further ones are answered `overloaded`."
    )
    max_request_bytes: int = Field(
        256 * 1024, ge=4096, description="Bytes of a Check beyond which it is answered `bad_request`, unread."
    )
    deadline_seconds: float = Field(
        1,
        gt=0,
        description="Seconds that a Check may wait for the journal with audit_required, and less where Envoy waits "
        "less; then it is answered `deadline_exceeded`.",
    )
    drain_seconds: float = Field(5, ge=0, description="Seconds that Checks in flight have at a stop.")

    @model_validator(mode="after")
    def _issuers_apart(self) -> Self:
        """No issuer, whatever it writes into its claims, can speak for another one's subjects."""
        for one, other in itertools.combinations(self.issuers, 2):
            if one.name == other.name:
                raise ValueError(f"issuers: two issuers have the same name {one.name!r}; each needs its own")
            prefixes = _prefix(one.subject), _prefix(other.subject)
            if prefixes[0].startswith(prefixes[1]) or prefixes[1].startswith(prefixes[0]):
                raise ValueError(
                    f"issuers: {one.name!r} and {other.name!r} could each name the other's subjects, because "
                    f"their templates {one.subject!r} and {other.subject!r} begin alike; begin each with a text "
                    f'of its own before the first claim, such as "corp:{{sub}}" and "partner:{{sub}}", where '
                    "neither text begins the other"
                )
        return self

    @field_validator("request")
    @classmethod
    def _attributes_apart(cls, request: tuple[Attribute, ...]) -> tuple[Attribute, ...]:
        if len(set(request)) < len(request) or "subject" not in request:
            raise ValueError("must name the subject, and no attribute twice")
        return request
