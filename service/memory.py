"""Memory that is needed again and again is kept, not given back to the system and asked for anew.

A page that a process gets from the kernel is cleared first, and where the kernel is a virtual machine's, which gives
what is free back to its host, a page costs ten times as much as one that is still warm (docs/design/ledger.md).
"""

from __future__ import annotations

import ctypes
from contextlib import suppress

# mallopt(3): the free memory at the top of the heap from which on some is given back; the size from which on a piece is
# mapped by itself, and unmapped when it is freed; how many heaps there are: those of threads are given back whole.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_NEVER_MAPPED = 1 << 30


def keep(size: int) -> None:
    """Give memory back to the system only when more than `size` bytes of it are free; nothing happens where the C
    library has no such choice.
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_MMAP_THRESHOLD, _NEVER_MAPPED)
        mallopt(_M_TRIM_THRESHOLD, size)
