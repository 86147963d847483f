"""Which entries of a batch cannot be stored. Pure: the caller brings the trial."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# A trial takes milliseconds; what is not told apart by then goes to quarantine in larger pieces.
MAX_TRIALS = 1000


@dataclass(frozen=True, slots=True)
class Culprit:
    """Numbers of entries that fail together, and why; one entry, unless the trials ran out."""

    numbers: range
    cause: str


def culprits(rows: int, fault: Callable[[range], str], max_trials: int = MAX_TRIALS) -> tuple[Culprit, ...]:
    """Halve what fails until single entries are left. `fault` gives the cause, or "" when it passes.

    Empty when the whole passes, which makes the fault not one of the entries.
    """
    found: list[Culprit] = []
    waiting = [range(rows)]
    trials = 0
    while waiting:
        numbers = waiting.pop()
        cause = fault(numbers) if numbers else ""
        trials += 1
        if not cause:
            continue
        if len(numbers) == 1 or trials >= max_trials:
            found.append(Culprit(numbers, cause))
            continue
        middle = len(numbers) // 2
        waiting += [numbers[middle:], numbers[:middle]]
    return tuple(found)
