"""How a policy is built and let go beside decisions, in one interpreter, so that no decision waits for long."""

from __future__ import annotations

import contextlib
import gc
import sys
import time
from typing import TYPE_CHECKING

from extauthz.engine.memory import uncollected
from extauthz.engine.release import release

if TYPE_CHECKING:
    from collections.abc import Iterator

    from extauthz.engine import Engine

# How long a thread that builds keeps the interpreter when a decision wants it.
_HAND_OVER_SECONDS = 0.0001
# How long to wait for the last request that is decided by an old policy.
_LAST_REQUEST_SECONDS = 2.0
# References that are let_go's own: its variable, and getrefcount's argument.
_OWN_REFERENCES = 2


@contextlib.contextmanager
def considerate() -> Iterator[None]:
    """While a policy is built: the interpreter is handed over often, and garbage is not collected.

    What was built is then left out of all collections: a policy has no cycles, and looking through a
    million objects halts everything for a tenth of a second.
    """
    interval = sys.getswitchinterval()
    sys.setswitchinterval(_HAND_OVER_SECONDS)
    try:
        with uncollected():
            yield
            gc.freeze()
    finally:
        sys.setswitchinterval(interval)


def let_go(holder: list[Engine]) -> None:
    """Free the engine in `holder` piece by piece, once no request is decided by it; blocks so long."""
    engine = holder.pop()
    until = time.monotonic() + _LAST_REQUEST_SECONDS
    while sys.getrefcount(engine) > _OWN_REFERENCES:
        if time.monotonic() > until:
            # Whoever still has it keeps it.
            return
        time.sleep(0.01)
    with considerate():
        release(engine)
