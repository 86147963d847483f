"""The settings of extauthz."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from extauthz import addresses
from extauthz.engine.extension import name_problem
from extauthz.identity_settings import IdentitySettings
from service.server_tls import ServerTls
from service.settings import Address

Attribute = Literal["subject", "service", "resource", "action", "host", "scheme", "client_address"]

MIB = 1024 * 1024
MOST_WORKERS = 64
_PLACE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


class ExtAuthzSettings(IdentitySettings):
    """The decision point."""

    listen: tuple[str, ...] = Field(
        (), description="Addresses: unix:PATH or HOST:PORT. Default: unix:HOME/run/extauthz.sock."
    )
    workers: int = Field(
        1,
        ge=1,
        le=MOST_WORKERS,
        description="Processes that answer Checks, each on addresses of its own: the first on those of `listen`, the "
        "second on unix:HOME/run/extauthz-1.sock or the next port, and so on (docs/operations.md).",
    )
    tls: ServerTls | None = Field(
        None, description="TLS with client certificates, for HOST:PORT. Default: plain text."
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
    eval_rules: bool = Field(
        False,
        description="true: a matcher may say eval(p.field), and rules hold expressions in that field. Whoever "
        "writes the policy then writes parts of the matcher, and each request tries every rule (docs/policy.md).",
    )
    functions: dict[str, str] = Field(
        {},
        description="Functions of your own for the matcher, NAME: MODULE:FUNCTION. They are imported into this "
        "process and run for each rule and request (docs/policy.md).",
    )
    path_parameters: bool = Field(
        False,
        description="true: paths may hold parameters (/a;b=c/d), which are refused otherwise. The policy then "
        "has to allow the path with them and without them, because upstreams read it in both ways.",
    )
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
        "fast",
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

    @property
    def addresses(self) -> tuple[str, ...]:
        """Every address that Envoy may ask, worker by worker."""
        return addresses.of_all(self.listen, self.workers)

    @field_validator("workers")
    @classmethod
    def _each_has_its_addresses(cls, workers: int, info: ValidationInfo) -> int:
        if problem := addresses.problem(info.data.get("listen", ()), workers):
            raise ValueError(problem)
        return workers

    @field_validator("functions")
    @classmethod
    def _functions_named(cls, functions: dict[str, str]) -> dict[str, str]:
        for name, place in functions.items():
            problem = name_problem(name)
            if problem:
                raise ValueError(problem)
            if not _PLACE.fullmatch(place):
                raise ValueError(f"{name}: {place!r} is not written MODULE:FUNCTION")
        return functions

    @field_validator("request")
    @classmethod
    def _attributes_apart(cls, request: tuple[Attribute, ...]) -> tuple[Attribute, ...]:
        if len(set(request)) < len(request) or "subject" not in request:
            raise ValueError("must name the subject, and no attribute twice")
        return request
