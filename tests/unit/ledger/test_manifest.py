"""The tests carry the names of the invariants of ledger/manifest.py."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ledger.errors import StuckError
from ledger.manifest import NAME, Frozen, Manifest, frozen
from ledger.plan import Limits, Source, batch_of


def plan(name: str, *more: str) -> Frozen:
    batch = batch_of(f"{name}.0", Source("http", "n", "l"), 7, [b"\x0a\x00"], 1)
    return frozen([name, *more], [batch], Limits())


def test_what_is_frozen_is_durable_when_freeze_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    real = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda fd: (synced.append(os.fstat(fd).st_size), real(fd)))

    Manifest(tmp_path).freeze(plan("a"))

    assert [(tmp_path / NAME).stat().st_size] == synced


def test_a_frozen_plan_stays_until_it_is_done(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path)
    manifest.freeze(plan("a", "b"))
    manifest.freeze(plan("c"))
    manifest.done("a")

    again = Manifest(tmp_path)

    assert (plan("c"),) == again.open
    assert (plan("a", "b"),) == again.finished


@pytest.mark.parametrize("left", [1, 9, 40, -1])
def test_a_line_that_was_torn_was_not_frozen_and_is_cut_off(tmp_path: Path, left: int) -> None:
    manifest = Manifest(tmp_path)
    manifest.freeze(plan("a"))
    size = (tmp_path / NAME).stat().st_size
    manifest.freeze(plan("b"))
    os.truncate(tmp_path / NAME, size + left if left > 0 else (tmp_path / NAME).stat().st_size + left)

    again = Manifest(tmp_path)

    assert (plan("a"),) == again.open
    # And what comes after it is read.
    again.freeze(plan("c"))
    assert (plan("a"), plan("c")) == Manifest(tmp_path).open


def test_damage_before_the_last_line_is_told_and_nothing_is_guessed(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path)
    manifest.freeze(plan("a"))
    manifest.freeze(plan("b"))
    data = bytearray((tmp_path / NAME).read_bytes())
    data[20] ^= 1
    (tmp_path / NAME).write_bytes(data)

    with pytest.raises(StuckError, match="line 1 is damaged"):
        Manifest(tmp_path)


def test_it_does_not_grow_for_ever(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path)
    manifest.freeze(plan("open"))
    for number in range(2_000):
        name = f"{number:037}"
        manifest.freeze(plan(name))
        manifest.done(name)

    assert (tmp_path / NAME).stat().st_size < 300_000
    assert (plan("open"),) == Manifest(tmp_path).open


def test_other_bytes_are_another_plan() -> None:
    source = Source("http", "n", "l")
    one, two = (batch_of("a.0", source, 7, [data], 1) for data in (b"\x0a\x00", b"\x0a\x01x"))

    assert frozen(["a"], [one], Limits()) != frozen(["a"], [two], Limits())
    assert ["a.0"] == frozen(["a"], [one], Limits()).ids
