"""What the engine's allocator is told before the engine is loaded."""

from __future__ import annotations

import os
import sys
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from chserver.engine import Engine, EngineError

if TYPE_CHECKING:
    from pathlib import Path

NAME = "JE_MALLOC_CONF"


def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str | None:
    """What stands in the environment when the engine is opened."""
    found: list[str | None] = []

    def connect(_: str) -> None:
        found.append(os.environ.get(NAME))
        raise RuntimeError("seen enough")

    chdb = ModuleType("chdb")
    chdb._chdb = SimpleNamespace(connect=connect)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "chdb", chdb)
    # The engine goes to a directory of its own; back again behind the test.
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EngineError, match="seen enough"):
        Engine(tmp_path / "data")
    return found[0]


def test_it_is_told_to_keep_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Set first, so that it is taken away again behind the test.
    monkeypatch.setenv(NAME, "")
    monkeypatch.delenv(NAME)

    said = told(tmp_path, monkeypatch)

    assert said
    assert "dirty_decay_ms:60000" in said.split(",")


def test_what_somebody_else_has_said_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "dirty_decay_ms:0")

    assert "dirty_decay_ms:0" == told(tmp_path, monkeypatch)
