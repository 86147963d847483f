"""The settings of the reading side."""

from __future__ import annotations

from pydantic import Field

from service.settings import Section


class AuditSettings(Section):
    """Audit queries."""

    limit: int = Field(1000, ge=1, description="Rows that a named query gives unless --limit says otherwise.")
    timezone: str = Field("UTC", description="Time zone in which off-hours are judged.")
