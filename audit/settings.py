"""The settings of the reading side."""

from __future__ import annotations

from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator

from service.settings import Section


class AuditSettings(Section):
    """Audit queries."""

    limit: int = Field(1000, ge=1, description="Rows that a named query gives unless --limit says otherwise.")
    timezone: str = Field(
        "UTC", description="Time zone in which off-hours are judged, such as Europe/Zurich."
    )

    @field_validator("timezone")
    @classmethod
    def _known(cls, timezone: str) -> str:
        try:
            ZoneInfo(timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError("is no time zone of the IANA database, such as Europe/Zurich") from error
        return timezone
