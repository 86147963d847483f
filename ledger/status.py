"""HOME/run/ledger.json: how far the writer is, for alslog's metrics and `gateledger status`."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

    from ledger.register import Totals


@dataclass(frozen=True, slots=True)
class Status:
    """Totals are of the whole ledger, over restarts. `updated_at`: epoch seconds."""

    stored_total: int = 0
    unparsed_total: int = 0
    batches_total: int = 0
    decisions_total: int = 0
    last_error: str | None = None
    clickhouse: Literal["up", "down"] = "down"
    updated_at: float = 0.0

    def with_totals(self, totals: Totals) -> Status:
        """What ClickHouse's own books say."""
        return replace(
            self,
            stored_total=totals.stored,
            unparsed_total=totals.unparsed,
            batches_total=totals.batches,
            decisions_total=totals.decisions,
        )

    def adding(self, *, stored: int = 0, batches: int = 0, unparsed: int = 0, decisions: int = 0) -> Status:
        return replace(
            self,
            stored_total=self.stored_total + stored,
            batches_total=self.batches_total + batches,
            unparsed_total=self.unparsed_total + unparsed,
            decisions_total=self.decisions_total + decisions,
        )


def read(file: Path) -> Status:
    """The status as it was left; a fresh one where there is none that can be read."""
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
        return Status(
            stored_total=int(said["stored_total"]),
            unparsed_total=int(said["unparsed_total"]),
            batches_total=int(said["batches_total"]),
            decisions_total=int(said.get("decisions_total", 0)),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return Status()


def write(file: Path, status: Status) -> None:
    """Replace the file; a reader sees the old one or the new one. Raises OSError."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.part")
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as out:
        json.dump(asdict(status), out)
        out.write("\n")
    part.replace(file)
