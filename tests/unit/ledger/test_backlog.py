from __future__ import annotations

from pathlib import Path

import pytest
from ledger_process import fill

from ledger import backlog
from ledger.backlog import Backlog
from spool import sealed_segments


def sizes(directory: Path) -> list[int]:
    return [segment.size() for segment in sealed_segments(directory)]


def test_as_many_are_taken_as_fit_one_at_the_least_and_the_oldest_first(tmp_path: Path) -> None:
    for _ in range(5):
        fill(tmp_path, (b"o", b"p" * 1000))
    names = [segment.name for segment in sealed_segments(tmp_path)]
    waiting, one = Backlog(tmp_path), sizes(tmp_path)[0]

    taken = [[s.name for s in waiting.take(size, set())] for size in (1, 2 * one, 100 * one)]

    assert [names[:1], names[1:3], names[3:]] == taken


def test_the_directory_is_listed_again_only_when_all_was_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(4):
        fill(tmp_path, (b"o", b"p"))
    real, listings = backlog.sealed_segments, []
    monkeypatch.setattr(backlog, "sealed_segments", lambda path: listings.append(path) or real(path))
    waiting, taken = Backlog(tmp_path), set()

    for _ in range(4):
        taken |= {segment.name for segment in waiting.take(1, taken)}
    assert 1 == len(listings)
    assert () == waiting.take(1, taken)
    assert 2 == len(listings)


def test_what_is_somebodys_job_is_not_taken(tmp_path: Path) -> None:
    for _ in range(2):
        fill(tmp_path, (b"o", b"p"))
    first, second = sealed_segments(tmp_path)

    assert (second,) == Backlog(tmp_path).take(10**6, {first.name})


def test_what_is_too_little_waits_for_more_but_not_for_ever(tmp_path: Path) -> None:
    fill(tmp_path, (b"o", b"p" * 1000))
    waiting, (one,) = Backlog(tmp_path), sizes(tmp_path)

    assert () == waiting.take(10 * one, set(), worth=2 * one, patience=3600)
    assert 1 == len(waiting.take(10 * one, set(), worth=2 * one, patience=0))


def test_what_came_in_the_meantime_counts(tmp_path: Path) -> None:
    fill(tmp_path, (b"o", b"p" * 1000))
    waiting, (one,) = Backlog(tmp_path), sizes(tmp_path)
    assert () == waiting.take(10 * one, set(), worth=2 * one, patience=3600)
    fill(tmp_path, (b"o", b"p" * 1000))

    assert 2 == len(waiting.take(10 * one, set(), worth=2 * one, patience=3600))
