"""Ports for processes that are started again on the same one.

A port that the kernel hands out (port 0) may be the near end of anybody's connection a moment later, and then
whoever is to listen there cannot. These come from below the range of such ends, each worker of pytest-xdist
from a part of its own.
"""

from __future__ import annotations

import itertools
import os
import random
import socket

_FIRST, _COUNT = 15_000, 1_500
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_NEXT = itertools.count(random.SystemRandom().randrange(_COUNT))


def free_port() -> int:
    """A port that nobody listens on, and that this process did not give to anybody for a long time."""
    for _ in range(_COUNT):
        port = _FIRST + _WORKER % 11 * _COUNT + next(_NEXT) % _COUNT
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise AssertionError("no port is free")
