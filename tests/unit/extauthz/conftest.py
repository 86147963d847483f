from __future__ import annotations

from pathlib import Path

import pytest

from extauthz.engine import Engine

POLICIES = Path(__file__).parents[3] / "policies"
ATTRIBUTES = ("subject", "service", "resource", "action")


@pytest.fixture(scope="session")
def engine() -> Engine:
    """The sample policy."""
    return Engine.from_files(POLICIES / "model.conf", POLICIES / "policy.csv", ATTRIBUTES)
