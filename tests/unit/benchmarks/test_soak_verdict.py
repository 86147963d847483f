"""The soak's verdict (benchmarks/soak_verdict.py): what is flat, and what is not."""

from __future__ import annotations

import importlib.util
import random
import sys
from pathlib import Path
from types import ModuleType

import pytest

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def verdicts() -> ModuleType:
    """Benchmarks are scripts, in no package."""
    path = Path(__file__).parents[3] / "benchmarks" / "soak_verdict.py"
    spec = importlib.util.spec_from_file_location("soak_verdict", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    # dataclasses look their module up by its name.
    sys.modules["soak_verdict"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("grows", "files", "flat"),
    [
        pytest.param(0.0, 0.0, True, id="nothing grows"),
        pytest.param(2 * MIB, 0.0, True, id="less than what an allocator holds on to"),
        pytest.param(12 * MIB, 0.0, False, id="memory grows"),
        pytest.param(-30 * MIB, 0.0, True, id="memory shrinks"),
        pytest.param(0.0, 60.0, False, id="files stay open"),
    ],
)
def test_a_run_is_flat_or_not(verdicts: ModuleType, grows: float, files: float, flat: bool) -> None:
    chance = random.Random(1)
    samples = [
        verdicts.Sample(
            float(at),
            at * 40_000,
            # The first samples are of a process that is not warm yet, all of them are noisy.
            int((60 if at < 20 else 90) * MIB + grows * at / 300 + chance.uniform(0, 2 * MIB)),
            int(30 + files * at / 300),
        )
        for at in range(300)
    ]

    assert verdicts.judged(samples).flat is flat


def test_a_run_that_was_too_short_is_not_judged(verdicts: ModuleType) -> None:
    with pytest.raises(ValueError, match="too few"):
        verdicts.judged([verdicts.Sample(1.0, 1, 1, 1)] * 5)
