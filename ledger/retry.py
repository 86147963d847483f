"""How long to wait before the next try: full jitter, so that many writers do not come back at once."""

from __future__ import annotations

import random
from dataclasses import dataclass

_FIRST_SECONDS = 0.1


@dataclass(slots=True)
class Backoff:
    """Grows with every failure in a row, up to `max_seconds`."""

    max_seconds: float
    failures: int = 0

    def failed(self) -> float:
        """Seconds to wait now."""
        # Capped exponent: 0.1 s doubles to a day within 20 steps.
        ceiling = min(self.max_seconds, _FIRST_SECONDS * 2 ** min(self.failures, 20))
        self.failures += 1
        return random.uniform(0, ceiling)  # noqa: S311 - spreads load, guards nothing

    def succeeded(self) -> None:
        self.failures = 0
