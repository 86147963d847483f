"""Files that are written over once their segment was deleted."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hand_spool import STALE, Spool, payloads

from spool import Segment, SpoolError, sealed_segments
from spool.format import FRAME_BYTES, HEADER_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable


class TestWritingOver:
    def test_a_deleted_segments_file_is_written_over(self, spool: Spool) -> None:
        inode = spool.waiting()
        segment = spool.segment(b"new")

        assert inode == segment.path.stat().st_ino
        assert payloads(segment) == [b"new"]

    def test_only_once_its_deletion_is_durable(self, spool: Spool) -> None:
        first = spool.segment(b"1")
        inode = first.path.stat().st_ino
        # As a reader that has come no further: the directory is not synced.
        first.path.unlink()
        second = spool.segment(b"2")
        third = spool.segment(b"3")

        assert second.path.stat().st_ino != inode == third.path.stat().st_ino

    def test_a_shorter_segment_leaves_nothing_of_a_longer_one(self, spool: Spool) -> None:
        inode = spool.waiting()
        segment = spool.segment(b"short")
        data = segment.read()

        assert segment.path.stat().st_ino == inode
        assert STALE not in data
        assert len(data) == HEADER_BYTES + FRAME_BYTES + len(b"short") + 24

    def test_a_longer_segment_over_a_shorter_one_is_whole(self, spool: Spool) -> None:
        spool.segment(b"short").delete()
        spool.segment(b"between")
        long = [b"long" * 100] * 100

        assert payloads(spool.segment(*long)) == long

    def test_only_the_owner_may_look_into_what_waits(self, spool: Spool) -> None:
        spool.waiting()

        assert {0o600} == {stat.S_IMODE(file.stat().st_mode) for file in spool.directory.iterdir()}

    def test_a_segment_that_is_deleted_while_it_is_read_is_gone_and_not_damaged(
        self, spool: Spool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        segment = spool.segment(b"1")
        real = Path.read_bytes

        def overtaken(path: Path) -> bytes:
            path.unlink()
            spool.segment(b"2")
            assert spool.write(b"3")
            return real(spool.open_file())

        monkeypatch.setattr(Path, "read_bytes", overtaken)

        with pytest.raises(SpoolError, match="cannot be read: No such file"):
            list(segment.records())


def link_to_it(segment: Segment, kept: Path) -> None:
    os.link(segment.path, kept)
    segment.delete()


def link_to_its_other_name(segment: Segment, kept: Path) -> None:
    os.link(other_name(segment), kept)
    segment.delete()


def move_it(segment: Segment, kept: Path) -> None:
    segment.path.rename(kept)


def move_its_other_name(segment: Segment, kept: Path) -> None:
    other_name(segment).rename(kept)
    segment.delete()


def remove_its_other_name(segment: Segment, kept: Path) -> None:
    other_name(segment).unlink()
    segment.path.rename(kept)


def put_another_file_there(segment: Segment, kept: Path) -> None:
    other = other_name(segment)
    other.unlink()
    other.write_bytes(b"mine")
    segment.path.rename(kept)


def other_name(segment: Segment) -> Path:
    (other,) = (file for file in segment.path.parent.glob("carrier-*") if file.samefile(segment.path))
    return other


@pytest.mark.parametrize(
    "keep",
    [
        pytest.param(link_to_it, id="linked"),
        pytest.param(link_to_its_other_name, id="linked by its other name"),
        pytest.param(move_it, id="moved"),
        pytest.param(move_its_other_name, id="moved by its other name"),
        pytest.param(remove_its_other_name, id="its other name removed"),
        pytest.param(put_another_file_there, id="its other name taken"),
    ],
)
def test_a_segment_that_somebody_keeps_is_never_written_over(
    spool: Spool, tmp_path_factory: pytest.TempPathFactory, keep: Callable[[Segment, Path], None]
) -> None:
    kept = tmp_path_factory.mktemp("elsewhere") / "kept"
    segment = spool.segment(b"kept" * 10)
    content = segment.read()
    keep(segment, kept)
    for number in range(8):
        spool.segment(b"%d" % number).delete()

    assert kept.read_bytes() == content


@pytest.mark.parametrize("keep", [os.link, os.rename])
def test_what_waits_is_not_written_over_when_somebody_takes_it(
    spool: Spool, tmp_path_factory: pytest.TempPathFactory, keep: Callable[[Path, Path], None]
) -> None:
    inode = spool.waiting()
    kept = tmp_path_factory.mktemp("elsewhere") / "kept"
    (waits,) = (file for file in spool.directory.glob("carrier-*") if file.stat().st_ino == inode)
    content = waits.read_bytes()
    keep(waits, kept)
    for number in range(8):
        spool.segment(b"%d" % number).delete()

    assert kept.read_bytes() == content


def test_an_open_segment_whose_other_name_somebody_removes_goes_on(spool: Spool) -> None:
    spool.waiting()
    spool.write(b"1")
    for file in spool.directory.glob("carrier-*"):
        file.unlink()
    spool.writer.sync()
    spool.writer.release(0)
    spool.write(b"2")
    spool.writer.seal(0)
    (segment,) = sealed_segments(spool.directory)

    assert payloads(segment) == [b"1", b"2"]
