"""The settings of the ledger writer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints

from service.settings import Section

# Of few characters, for it becomes part of a pattern; of two at the least, or everything would be hidden.
SecretName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{2,64}$")]


class LedgerSettings(Section):
    """The writer: from the spools into ClickHouse."""

    quarantine: Path | None = Field(
        None, description="Directory for entries that could not be stored (0600). Default: HOME/quarantine."
    )
    status: Path | None = Field(
        None, description="File in which the writer reports its totals. Default: HOME/run/ledger.json."
    )
    poll_seconds: float = Field(0.1, gt=0, description="Seconds between two looks for sealed segments.")
    hold_seconds: float = Field(
        0,
        ge=0,
        description="Seconds that a stored segment stays, to be looked for once more before it is deleted. "
        "For a ClickHouse that does not sync what it acknowledges.",
    )
    retry_max_seconds: float = Field(30, gt=0, description="Longest pause in seconds between two tries.")
    redact_names: tuple[SecretName, ...] = Field(
        (),
        # They travel in the URL of each INSERT, beside Limits.about_bytes.
        max_length=100,
        description="Further names of parameters whose values are secrets: a parameter whose name holds one of these, "
        "in any case, is stored as REDACTED, as password, token and their like always are.",
    )
    retention_seconds: float = Field(
        3600,
        gt=0,
        description="Seconds between two looks for what a standing order (gateledger db retain --ttl) lets go.",
    )
