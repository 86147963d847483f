"""The settings of extauthz."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from service.settings import Section


class Issuer(Section):
    """A token issuer that Envoy's jwt_authn verifies, and what its claims mean to the policy."""

    name: str = Field(
        description="Name of the jwt_authn provider; its payload is expected in the metadata key NAME, "
        "its failure in NAME.failed."
    )
    subject: str = Field(
        "{sub}", description="Template of the subject, from claims: {sub}, {iss}, {email}, …"
    )
    roles_claim: str = Field("roles", description="Claim that lists the roles; dots descend into objects.")
    roles: tuple[str, ...] = Field(
        (), description='Roles that this issuer may assert, without "role:"; "*" for all. Default: none.'
    )


class ExtAuthzSettings(Section):
    """The decision point."""

    listen: tuple[str, ...] = Field(
        (), description="Addresses: unix:PATH or HOST:PORT. Default: unix:HOME/run/extauthz.sock."
    )
    metrics: str = Field("127.0.0.1:9464", description="HOST:PORT of /metrics, /healthz and /readyz.")
    model: Path | None = Field(
        None, description="Casbin model file. Default: the shipped policies/model.conf."
    )
    policy: Path | None = Field(
        None, description="Casbin policy CSV. Default: the shipped policies/policy.csv."
    )
    request: tuple[str, ...] = Field(
        ("subject", "service", "resource", "action"),
        description="Request attributes in the order of the model's request_definition: subject, service, "
        "resource, action, host, scheme, client_address.",
    )
    issuers: tuple[Issuer, ...] = Field((), description="Token issuers whose verified claims make subjects.")
    journal: Path | None = Field(
        None,
        description="Spool for policy texts on their way to audit.policies. Default: HOME/spool/extauthz.",
    )
    reload_seconds: float = Field(
        1, gt=0, description="Seconds between two looks at the policy files, beside file events."
    )
    max_concurrent: int = Field(
        512, ge=1, description="Checks in flight before further ones are answered `overloaded`."
    )
    drain_seconds: float = Field(5, ge=0, description="Seconds that Checks in flight have at a stop.")
