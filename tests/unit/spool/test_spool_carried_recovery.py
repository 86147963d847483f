"""What a start finds of files that were written over."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hand_spool import STALE, Spool, carriers, payloads, refusing

from spool import Damage, Recovered, SpoolError, sealed_segments
from spool.format import FRAME_BYTES, HEADER_BYTES
from spool.writer import SegmentWriter


class TestRecovery:
    """`close` of a writer leaves everything as a kill does; what another one finds then."""

    def killed(self, spool: Spool) -> tuple[Recovered, ...]:
        spool.writer.close()
        return SegmentWriter(spool.directory, segment_bytes=1, segment_seconds=1).recover()

    @pytest.mark.parametrize(
        "sealed", [False, True], ids=["before the seal", "before it was cut to its length"]
    )
    def test_what_is_stale_behind_a_segments_end_is_no_torn_record(
        self, spool: Spool, monkeypatch: pytest.MonkeyPatch, *, sealed: bool
    ) -> None:
        spool.waiting()
        spool.write(b"1", b"2")
        name = spool.open_file().stem
        if sealed:
            monkeypatch.setattr(os, "ftruncate", refusing(errno.EIO))
            with pytest.raises(SpoolError):
                spool.writer.seal(0)
            monkeypatch.undo()
        assert STALE in spool.open_file().read_bytes()
        found = self.killed(spool)
        (segment,) = sealed_segments(spool.directory)

        assert found == (Recovered(name, 2, 0, damaged=False),)
        assert payloads(segment) == [b"1", b"2"]
        assert STALE not in segment.read()
        assert carriers(spool.directory) == []

    def test_a_record_that_was_cut_off_over_stale_bytes_is_told(self, spool: Spool) -> None:
        spool.waiting()
        spool.write(b"1")
        before = spool.open_file().read_bytes()
        spool.write(b"torn" * 20)
        with spool.open_file().open("r+b") as file:
            cut = HEADER_BYTES + FRAME_BYTES + 1 + FRAME_BYTES + 10
            file.seek(cut)
            file.write(before[cut:])
        (found,) = self.killed(spool)
        (segment,) = sealed_segments(spool.directory)

        assert (found.records, found.torn_bytes, found.damaged) == (1, FRAME_BYTES + 80, False)
        assert payloads(segment) == [b"1"]

    def test_a_segment_of_which_only_the_name_was_durable_is_removed(self, spool: Spool) -> None:
        inode = spool.waiting()
        (waits,) = (file for file in spool.directory.glob("carrier-*") if file.stat().st_ino == inode)
        stale = waits.read_bytes()
        spool.write(b"never durable")
        waits.write_bytes(stale)

        assert [(each.records, each.damaged) for each in self.killed(spool)] == [(0, False)]
        assert list(spool.directory.iterdir()) == []

    def test_an_open_file_with_one_name_that_holds_another_segment_is_kept_and_reported(
        self, spool: Spool
    ) -> None:
        content = spool.segment(b"1").path.read_bytes()
        (tmp := spool.directory / f"{7:020d}-{7:016x}.open").write_bytes(content)
        (found,) = self.killed(spool)
        first, _ = sealed_segments(spool.directory)

        assert found == Recovered(tmp.stem, 0, 0, damaged=True)
        assert first.read() == content
        assert [type(item) for item in first.salvage()] == [Damage]

    def test_a_sealed_file_that_holds_another_segment_gives_none_of_its_records(self, spool: Spool) -> None:
        first, second = spool.segment(b"1"), spool.segment(b"2")
        first.path.write_bytes(second.read())

        assert [type(item) for item in first.salvage()] == [Damage]
        with pytest.raises(SpoolError, match=f"offset 0: the file holds another segment, {second.name}"):
            list(first.records())

    def test_a_start_that_dies_before_it_has_cleared_up_is_followed_by_one_that_does(
        self, spool: Spool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        spool.waiting()
        spool.write(b"1")
        monkeypatch.setattr("spool.carriers.Carriers.clear", refusing(errno.EIO))
        with pytest.raises(SpoolError):
            self.killed(spool)
        monkeypatch.undo()
        found = self.killed(spool)
        (segment,) = sealed_segments(spool.directory)

        assert found == ()
        assert payloads(segment) == [b"1"]
        assert carriers(spool.directory) == []

    def test_only_what_bears_our_name_and_is_a_file_is_removed_at_the_start(self, tmp_path: Path) -> None:
        (tmp_path / "carrier-7").write_bytes(b"left over")
        (tmp_path / "carrier-list.txt").write_text("mine")
        (tmp_path / "carrier-1").mkdir()
        spool = Spool(tmp_path)

        assert payloads(spool.segment(b"1")) == [b"1"]
        assert carriers(tmp_path) == ["carrier-1", "carrier-list.txt"]
        spool.writer.close()
