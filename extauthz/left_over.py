"""Journals of workers that are no more: what a killed one left open is sealed, so that the ledger stores it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from spool import Appender, SpoolError

if TYPE_CHECKING:
    from pathlib import Path

    import structlog

_MIB = 1024 * 1024


def seal_left_over(decisions: Path, workers: int, log: structlog.stdlib.BoundLogger) -> None:
    """Seal what stands in directories of workers that will not come. One that another process owns is left alone."""
    try:
        names = [path for path in decisions.iterdir() if re.fullmatch(r"\d+", path.name)]
    except FileNotFoundError:
        return
    except OSError as error:
        log.warning(
            "journals of earlier workers cannot be looked for; make it a directory that this user may read",
            directory=str(decisions),
            error=error.strerror,
        )
        return
    for directory in sorted(names):
        if int(directory.name) >= workers:
            try:
                # Nothing is appended: what is open is sealed at the opening.
                Appender(
                    directory, segment_bytes=_MIB, segment_seconds=1, max_bytes=_MIB, reserve_bytes=0
                ).close()
            except SpoolError as error:
                log.warning("the journal of an earlier worker is left as it is", error=str(error))
