"""Bytes into the fast transport, by chance and by the thousand, with the `h2` library beside it (http2_fuzz).

`make fuzz` sets FUZZ_STREAMS, and with it runs as many connections, of seeds that no run had before.
"""

from __future__ import annotations

import os
import random

import pytest
from http2_fuzz import Finding, fuzz
from http2_scripts import METHODS
from http2_target import Target

from extauthz.http2.method import Method

STREAMS = int(os.environ.get("FUZZ_STREAMS", "0"))
FIRST = random.SystemRandom().randrange(10**12) if STREAMS else 0


async def test_every_stream_of_bytes_is_answered_rightly_or_refused() -> None:
    kinds = await fuzz(range(FIRST, FIRST + (STREAMS or 1_000)))

    assert kinds["legal"] > 400, f"from seed {FIRST}"
    assert kinds["wrong"] > 200, f"from seed {FIRST}"


async def test_the_fuzz_finds_a_wrong_answer() -> None:
    """Else it would look at nothing."""
    target = Target()
    target.server.methods = {METHODS[0].encode(): Method(lambda message, *_: message[::-1])}

    with pytest.raises(Finding, match=r"another call's answer|what it did not ask|not \(200, 0\)"):
        await fuzz(range(50), target)
