"""Whether memory and open files of a process stayed what they were, by samples taken while it worked."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MIB = 1024 * 1024
# Of the samples so many are of a process that still fills its caches.
_WARMING = 0.1
# What a process may have grown by from the first third of a run to its last: pages that its allocator holds on to
# come and go by as much. A leak of 1 byte a Check is 10 MB in 10 million.
_MORE_BYTES = 4 * MIB
_MORE_SHARE = 0.03
_MORE_FILES = 2
_FEWEST = 9


@dataclass(frozen=True, slots=True)
class Sample:
    """What was seen at a time: seconds since the start, Checks until then, bytes, files."""

    seconds: float
    checks: int
    resident: int
    files: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """Bytes by which medians of the first and the last third, and the whole line through all samples, differ."""

    first: float
    last: float
    slope: float
    files: float
    flat: bool

    def __str__(self) -> str:
        return (
            f"{'flat' if self.flat else 'NOT FLAT'}: RSS {self.first / MIB:.1f} MiB in the first third, "
            f"{self.last / MIB:.1f} MiB in the last (medians), {self.slope / MIB:+.1f} MiB over the run by the "
            f"line through all samples; open files {self.files:+.0f}"
        )


def judged(samples: Sequence[Sample]) -> Verdict:
    """Raises ValueError for fewer samples than thirds can be made of."""
    warm = samples[int(len(samples) * _WARMING) :]
    if len(warm) < _FEWEST:
        raise ValueError(f"{len(warm)} samples are too few for a verdict; let it run longer")
    third = len(warm) // 3
    first, last = warm[:third], warm[-third:]
    before = statistics.median(each.resident for each in first)
    after = statistics.median(each.resident for each in last)
    files = statistics.median(each.files for each in last) - statistics.median(each.files for each in first)
    line = statistics.linear_regression([each.seconds for each in warm], [each.resident for each in warm])
    slope = line.slope * (warm[-1].seconds - warm[0].seconds)
    more = max(_MORE_BYTES, _MORE_SHARE * before)
    # A steady growth is two thirds as much between the middles of those thirds as over the run.
    flat = after - before <= more and slope <= 1.5 * more and files <= _MORE_FILES
    return Verdict(before, after, slope, files, flat)
