"""Files to be written over: where there can be none, how many there may be, and when they go."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hand_spool import WAIT, Spool, carriers, eventually, payloads, refusing

from spool import Appender, Record, SpoolError, disk, sealed_segments
from spool import writer as writing
from spool.carriers import Carrier
from spool.writer import SegmentWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Open = Callable[..., Appender]


class TestWithoutLinks:
    @pytest.mark.parametrize(
        "code",
        [errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV, errno.EACCES, errno.EINVAL],
    )
    def test_where_a_file_has_but_one_name_each_segment_has_a_new_file(
        self, spool: Spool, monkeypatch: pytest.MonkeyPatch, code: int
    ) -> None:
        monkeypatch.setattr(os, "link", refusing(code))

        assert [payloads(spool.segment(b"%d" % i)) for i in range(3)] == [[b"0"], [b"1"], [b"2"]]
        assert carriers(spool.directory) == []

    def test_nor_is_one_written_over_where_names_are_not_counted(
        self, spool: Spool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Carrier, "names", 1)
        segments = [spool.segment(b"%d" % i) for i in range(5)]

        assert [payloads(segment) for segment in segments] == [[b"0"], [b"1"], [b"2"], [b"3"], [b"4"]]
        assert carriers(spool.directory) == []

    @pytest.mark.parametrize("call", ["link", "ftruncate"])
    def test_a_broken_disk_is_final(self, spool: Spool, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
        monkeypatch.setattr(os, call, refusing(errno.EIO))

        with pytest.raises(SpoolError, match="Input/output error; check the disk"):
            spool.segment(b"1")


class TestNoRoom:
    @pytest.mark.parametrize("call", ["create_rewritable", "write_all", "link"])
    def test_a_disk_without_space_for_a_new_segment_takes_it_later(
        self, spool: Spool, monkeypatch: pytest.MonkeyPatch, call: str
    ) -> None:
        monkeypatch.setattr(os if call == "link" else disk, call, refusing(errno.ENOSPC))

        assert spool.write(b"refused") == 0
        monkeypatch.undo()
        assert payloads(spool.segment(b"taken")) == [b"taken"]

    @pytest.mark.parametrize("when", ["record", "seal"])
    def test_a_write_over_stale_bytes_that_is_cut_off_leaves_no_trace(
        self, spool: Spool, monkeypatch: pytest.MonkeyPatch, when: str
    ) -> None:
        inode = spool.waiting()
        spool.write(b"1")
        real = disk.write_all

        def cut_off(fd: int, buffers: Sequence[bytes]) -> None:
            real(fd, [buffers[0][:5]])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(disk, "write_all", cut_off)
        if when == "record":
            assert spool.write(b"refused") == 0
        else:
            spool.writer.seal(0)
        monkeypatch.setattr(disk, "write_all", real)
        segment = spool.segment(b"2")

        assert segment.path.stat().st_ino == inode
        assert payloads(segment) == [b"1", b"2"]

    def test_a_close_that_finds_no_room_for_the_seal_leaves_what_the_next_start_needs(
        self, spool: Spool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        spool.waiting()
        spool.write(b"1")
        monkeypatch.setattr(disk, "write_all", refusing(errno.ENOSPC))
        spool.writer.seal(0)
        spool.writer.release(0)
        monkeypatch.undo()
        spool.writer.close()
        (found,) = SegmentWriter(spool.directory, segment_bytes=1, segment_seconds=1).recover()

        assert (found.records, found.torn_bytes, found.damaged) == (1, 0, False)


class TestLimits:
    def test_no_more_waits_than_may(self, spool: Spool) -> None:
        segments = [spool.segment(b"%d" % i * 100_000) for i in range(10)]

        assert len(carriers(spool.directory)) == 3
        for segment in segments:
            segment.delete()
        assert payloads(spool.segment(b"plain")) == [b"plain"]
        assert payloads(spool.segment(b"over")) == [b"over"]
        assert len(carriers(spool.directory)) == 3

    def test_segments_that_one_record_made_large_count_by_their_size(self, spool: Spool) -> None:
        segments = [spool.segment(b"x" * 2_000_000) for _ in range(3)]
        for segment in segments:
            segment.delete()
        spool.segment(b"1")

        assert sum(file.stat().st_size for file in spool.directory.glob("carrier-*")) <= 3_000_000
        assert len(carriers(spool.directory)) == 1

    def test_small_segments_do_not_take_all_file_descriptors(self, tmp_path: Path) -> None:
        writer = SegmentWriter(tmp_path, segment_bytes=100, segment_seconds=60, reuse_bytes=1 << 30)
        assert writer.write([Record(b"", b"x" * 100)] * 200, 0) == 200

        assert len(carriers(tmp_path)) == 64
        writer.close()


class TestRelease:
    def test_a_spool_that_is_closed_is_left_with_segments_alone(
        self, open_spool: Open, directory: Path
    ) -> None:
        appender = open_spool(reuse_bytes=1 << 30, segment_bytes=100)
        for number in range(5):
            appender.append(b"", b"%d" % number * 100).result(WAIT)
            sealed_segments(directory)[0].delete()
        appender.append(b"", b"last").result(WAIT)
        assert carriers(directory) != []
        appender.close()

        assert sorted(file.suffix for file in directory.iterdir()) == ["", ".seg"]
        assert descriptors(directory) == []

    def test_when_nothing_was_written_for_a_while_nothing_waits(
        self, open_spool: Open, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(writing, "_RELEASE_SECONDS", 0.05)
        appender = open_spool(reuse_bytes=1 << 30, segment_bytes=100)
        appender.append(b"", b"x" * 100).result(WAIT)
        eventually(lambda: carriers(directory) == [])
        (segment,) = sealed_segments(directory)

        # Its reader may come later than that: what it deletes is gone then.
        assert segment.path.stat().st_nlink == 1
        assert len(payloads(segment)) == 1

    def test_a_full_spool_gives_back_what_waits(
        self, open_spool: Open, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(writing, "_RELEASE_SECONDS", 1e6)
        appender = open_spool(reuse_bytes=1 << 30, segment_bytes=1_000, max_bytes=20_000)
        while not appender.full:
            appender.append(b"", b"x" * 1_000).result(WAIT)

        eventually(lambda: carriers(directory) == [])

    def test_what_cannot_be_removed_ends_nothing_and_is_tried_again(
        self, spool: Spool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        spool.waiting()
        monkeypatch.setattr(Path, "unlink", refusing(errno.EACCES))
        spool.writer.release(0)
        again = spool.writer.release_at()
        monkeypatch.undo()
        assert again is not None
        spool.writer.release(again)

        assert carriers(spool.directory) == []
        assert spool.writer.release_at() is None

    def test_a_broken_disk_is_told_by_a_removal_too(
        self, spool: Spool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        spool.waiting()
        monkeypatch.setattr(Path, "unlink", refusing(errno.EIO))

        with pytest.raises(
            SpoolError, match="what was deleted cannot be removed: Input/output error; check the disk"
        ):
            spool.writer.release(0)

    def test_an_appender_that_fails_lets_go_of_its_files(
        self, open_spool: Open, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        appender = open_spool(reuse_bytes=1 << 30)
        appender.append(b"", b"1").result(WAIT)
        with monkeypatch.context() as patch:
            patch.setattr(disk, "sync_file", refusing(errno.EIO))
            with pytest.raises(SpoolError):
                appender.append(b"", b"2").result(WAIT)
        appender.close()

        assert descriptors(directory) == []


def descriptors(directory: Path) -> list[str]:
    """What this process has open of the spool."""
    names = []
    for each in Path("/proc/self/fd").iterdir():
        # The one that lists them is closed by now.
        with suppress(OSError):
            names.append(str(each.readlink()))
    return [name for name in names if name.startswith(str(directory))]
