"""Progress is told from time to time, and not at all of what is over soon."""

from __future__ import annotations

import pytest

from gateledger.cli.progress import TELL_SECONDS, progress


def test_progress_is_told_at_most_once_in_a_while(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    tell = progress(lambda: now)

    tell("at once")
    now = TELL_SECONDS
    tell("first")
    tell("just after")
    now = 2 * TELL_SECONDS
    tell("second")

    assert capsys.readouterr().err == "first\nsecond\n"
