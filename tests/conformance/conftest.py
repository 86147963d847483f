from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-conformance" / "bin" / "python"


@pytest.fixture(scope="session")
def full_api() -> dict[str, Any]:
    """The full API as xds-protos has it, read in a process and an environment of its own."""
    assert PYTHON.exists(), f"{PYTHON} is missing: run `make test`, which makes it"
    script = Path(__file__).with_name("full_api.py")
    done = subprocess.run([PYTHON, "-P", script], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)
