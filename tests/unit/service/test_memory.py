"""Memory that is kept."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import TYPE_CHECKING

from service.memory import keep

if TYPE_CHECKING:
    import pytest


def test_every_choice_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[tuple[int, int]] = []

    def mallopt(name: int, value: int) -> int:
        chosen.append((name, value))
        return 1

    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace(mallopt=mallopt))
    keep(1 << 20)

    # By the numbers of malloc.h: one heap, no piece mapped by itself, and the threshold asked for.
    assert {-8: 1, -3: 1 << 30, -1: 1 << 20} == dict(chosen)


def test_where_the_c_library_has_no_such_choice_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace())

    keep(1 << 20)
