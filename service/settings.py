"""What every section of the settings has in common: immutable, strict about unknown keys, documented."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """One section of gateledger.yaml. Every field has a default, and a description that names its unit."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)
