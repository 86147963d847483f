"""What a writer finds in a spool that another one has left."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from ledger_process import fill

from ledger import spooled, writer
from ledger.job import Job
from ledger.manifest import Frozen, Manifest
from ledger.register import Totals
from ledger.spooled import directories, opened
from ledger.writer import Places, Writer
from spool import SpoolError, sealed_segments


@pytest.fixture
def names(tmp_path: Path) -> list[str]:
    """The three segments of the spool, of which the first two are planned together."""
    for _ in range(3):
        fill(tmp_path, (b"o", b"p"))
    found = [segment.name for segment in sealed_segments(tmp_path)]
    Manifest(tmp_path).freeze(Frozen(found[0], tuple(found[:2]), 1, 1, "", 10, 10))
    return found


def test_what_was_begun_goes_on_as_it_was_planned(tmp_path: Path, names: list[str]) -> None:
    found = opened(tmp_path)

    (job,) = found.begun
    assert (names[:2], True) == ([segment.name for segment in job.segments], job.tried)
    assert set(names[:2]) == found.taken
    assert names[2:] == [segment.name for segment in found.backlog.take(10**6, found.taken)]


def test_a_deletion_that_was_cut_off_is_finished(tmp_path: Path, names: list[str]) -> None:
    Manifest(tmp_path).done(names[0])
    sealed_segments(tmp_path)[0].delete()

    found = opened(tmp_path)

    assert ((), ()) == (found.begun, found.odd)
    assert names[2:] == [segment.name for segment in sealed_segments(tmp_path)]


def test_segments_that_are_gone_before_they_were_stored_are_told(tmp_path: Path, names: list[str]) -> None:
    sealed_segments(tmp_path)[0].delete()

    found = opened(tmp_path)

    assert (f"segments ['{names[0]}'] are gone, and {names[0]} was not finished",) == found.odd
    assert () == found.begun
    assert names[1] in found.taken


def test_directories_of_workers_are_spools_too(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / "named" / name).mkdir(parents=True)

    assert ["named", "a", "b", "absent"] == [
        each.name for each in directories([tmp_path / "named", tmp_path / "absent"])
    ]


def test_what_was_begun_is_not_forgotten_when_the_spool_could_not_be_listed_at_first(
    tmp_path: Path, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    listings = iter([SpoolError("no file descriptors"), *[sealed_segments(tmp_path)] * 9])
    begun: list[Job] = []
    stop = threading.Event()

    def listed(_: Path) -> object:
        found = next(listings)
        if isinstance(found, SpoolError):
            raise found
        return found

    def work(_store: object, _manifest: object, job: Job, _around: object) -> None:
        begun.append(job)
        stop.set()

    monkeypatch.setattr(spooled, "sealed_segments", listed)
    monkeypatch.setattr(writer, "migrate", lambda _: [])
    monkeypatch.setattr(writer, "Store", lambda *_, **__: SimpleNamespace(totals=Totals))
    monkeypatch.setattr(writer, "work", work)
    places = Places([tmp_path], tmp_path / "quarantine", tmp_path / "status.json")

    Writer(places, Mock, stop, Mock(), poll_seconds=0.01, retry_max_seconds=0.01).run()

    # Which thread is first, nobody knows; both jobs are begun in one round.
    found = {segment.name: job.tried for job in begun for segment in job.segments}
    assert {names[0]: True, names[1]: True, names[2]: False} == found
