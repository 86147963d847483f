"""Files that are written over once their segment was deleted."""

from __future__ import annotations

import errno
import os
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from spool import Appender, Damage, Record, Recovered, Segment, SpoolError, disk, sealed_segments
from spool import writer as writing
from spool.carriers import Carrier
from spool.format import FRAME_BYTES, HEADER_BYTES
from spool.writer import SegmentWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Open = Callable[..., Appender]

WAIT = 10
STALE = b"of a segment that was deleted"


class Spool:
    """A writer whose segments are sealed and deleted by hand."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.writer = SegmentWriter(
            directory, segment_bytes=1_000_000, segment_seconds=60, reuse_bytes=3_000_000
        )
        self.writer.recover()

    def write(self, *payloads: bytes) -> int:
        return self.writer.write([Record(b"", payload) for payload in payloads], 0)

    def segment(self, *payloads: bytes) -> Segment:
        """A sealed one."""
        assert self.write(*payloads) == len(payloads)
        self.writer.seal(0)
        return sealed_segments(self.directory)[-1]

    def waiting(self) -> int:
        """The inode of a file that waits to be written over, full of what is stale."""
        old = self.segment(*[STALE] * 50)
        inode = old.path.stat().st_ino
        old.delete()
        # The sync of another's seal makes sure that the deletion is durable.
        self.segment(b"between").delete()
        return inode

    def open_file(self) -> Path:
        (file,) = self.directory.glob("*.open")
        return file


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path)
    yield spool
    spool.writer.close()


def payloads(segment: Segment) -> list[bytes | memoryview]:
    return [record.payload for record in segment.records()]


def carriers(directory: Path) -> list[str]:
    return sorted(file.name for file in directory.glob("carrier-*"))


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come"
        time.sleep(0.005)  # It is another thread's; there is nothing to wait on but its effect.


def refusing(code: int) -> Callable[..., None]:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return refuse


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
