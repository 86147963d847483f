from __future__ import annotations

import errno
import os
import stat
import threading
import time
from typing import TYPE_CHECKING

import pytest

from spool import Appender, SpoolError, SpoolFull, Usage, disk, sealed_segments, usage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    Open = Callable[..., Appender]

WAIT = 10


def payloads(directory: Path) -> list[bytes]:
    return [record.payload for segment in sealed_segments(directory) for record in segment.records()]


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come"
        time.sleep(0.005)


def test_records_are_read_in_the_order_in_which_they_were_appended(open_spool: Open, directory: Path) -> None:
    appender = open_spool(segment_bytes=3_000)
    futures = [appender.append(b"o%d" % i, b"p" * i) for i in range(200)]
    for future in futures:
        future.result(WAIT)
    appender.close()

    read = [record for segment in sealed_segments(directory) for record in segment.records()]

    assert [(b"o%d" % i, b"p" * i) for i in range(200)] == [(r.origin, r.payload) for r in read]
    assert len(sealed_segments(directory)) > 1


def test_a_future_resolves_only_after_fdatasync(open_spool: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    appender = open_spool()
    appender.append(b"", b"opens the segment").result(WAIT)
    monkeypatch.setattr(disk, "sync_file", lambda fd: gate.wait(WAIT))
    future = appender.append(b"", b"x")

    with pytest.raises(TimeoutError):
        future.result(0.05)
    gate.set()
    future.result(WAIT)


def test_a_record_is_the_kernels_before_anything_is_waited_for(
    open_spool: Open, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, entered = threading.Event(), threading.Event()

    def sync(_: object) -> None:
        entered.set()
        gate.wait(WAIT)

    appender = open_spool()
    monkeypatch.setattr(disk, "sync_file", sync)
    monkeypatch.setattr(disk, "sync_directory", sync)
    # The first of its segment: a kill from here on does not take it along.
    future = appender.append(b"", b"payload")
    assert entered.wait(WAIT)
    (segment,) = directory.glob("*.open")
    written = segment.read_bytes()
    gate.set()
    future.result(WAIT)

    assert b"payload" in written


def test_many_appends_share_one_fdatasync(open_spool: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, syncs = threading.Event(), []

    def sync(fd: int) -> None:
        syncs.append(fd)
        gate.wait(WAIT)

    appender = open_spool()
    appender.append(b"", b"opens the segment").result(WAIT)
    monkeypatch.setattr(disk, "sync_file", sync)
    first = appender.append(b"", b"0")
    eventually(lambda: bool(syncs))
    others = [appender.append(b"", b"%d" % i) for i in range(1, 500)]
    gate.set()
    for future in (first, *others):
        future.result(WAIT)

    assert len(syncs) == 2


def test_a_segment_is_sealed_when_it_is_old_enough_without_further_appends(
    open_spool: Open, directory: Path
) -> None:
    appender = open_spool(segment_seconds=0.05)
    appender.append(b"", b"x").result(WAIT)

    eventually(lambda: payloads(directory) == [b"x"])
    assert len(list(directory.glob("*.open"))) == 0


def test_a_group_larger_than_a_segment_fills_several(open_spool: Open, directory: Path) -> None:
    appender = open_spool(segment_bytes=10_000)
    futures = [appender.append(b"", bytes([i]) * 4_000) for i in range(20)]
    for future in futures:
        future.result(WAIT)
    appender.close()

    assert [bytes([i]) * 4_000 for i in range(20)] == payloads(directory)
    assert len(sealed_segments(directory)) == 7


def test_a_second_appender_is_refused_and_told_who_has_the_spool(open_spool: Open, directory: Path) -> None:
    open_spool()

    with pytest.raises(SpoolError, match=f"{directory}: process {os.getpid()} appends to it already"):
        open_spool()


def test_a_closed_spool_can_be_opened_again_and_goes_on(open_spool: Open, directory: Path) -> None:
    first = open_spool()
    first.append(b"", b"1").result(WAIT)
    first.close()
    first.close()
    second = open_spool()
    second.append(b"", b"2").result(WAIT)
    second.close()

    assert [b"1", b"2"] == payloads(directory)
    with pytest.raises(SpoolError, match="closed"):
        second.append(b"", b"3")


def test_only_the_owner_may_look_into_the_spool(open_spool: Open, directory: Path) -> None:
    open_spool().append(b"", b"x").result(WAIT)

    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {0o600} == {stat.S_IMODE(file.stat().st_mode) for file in directory.iterdir()}


def test_a_directory_that_cannot_be_made_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(SpoolError, match=r"spool .*file/spool: cannot be used"):
        Appender(
            tmp_path / "file" / "spool", segment_bytes=1, segment_seconds=1, max_bytes=1, reserve_bytes=0
        )


def test_names_sort_by_age_even_when_the_clock_steps_back(
    open_spool: Open, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(3):
        appender = open_spool()
        appender.append(b"", b"%d" % i).result(WAIT)
        appender.close()
        monkeypatch.setattr(time, "time_ns", lambda: 1_000_000_000)

    assert [b"0", b"1", b"2"] == payloads(directory)


class TestFull:
    def test_it_refuses_at_its_limit_and_takes_records_again_once_segments_are_deleted(
        self, open_spool: Open, directory: Path
    ) -> None:
        appender = open_spool(max_bytes=20_000, segment_bytes=1_000)
        taken = 0
        while not appender.full:
            appender.append(b"", b"x" * 1_000).result(WAIT)
            taken += 1

        assert 17 <= taken <= 20
        with pytest.raises(SpoolFull, match="no room"):
            appender.append(b"", b"x")

        for segment in sealed_segments(directory):
            segment.delete()
        eventually(lambda: not appender.full)
        appender.append(b"", b"last").result(WAIT)
        appender.close()

        assert [b"last"] == payloads(directory)

    def test_it_leaves_the_reserve_on_the_disk(
        self, open_spool: Open, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(disk, "free_bytes", lambda path: 999)
        appender = open_spool(reserve_bytes=1_000)

        assert appender.full
        with pytest.raises(SpoolFull):
            appender.append(b"", b"x")

        monkeypatch.setattr(disk, "free_bytes", lambda path: 2_000)
        eventually(lambda: not appender.full)
        appender.append(b"", b"x").result(WAIT)

    @pytest.mark.parametrize("when", ["header", "record", "seal"])
    def test_a_disk_without_space_leaves_no_partial_record_and_work_goes_on_afterwards(
        self, open_spool: Open, directory: Path, monkeypatch: pytest.MonkeyPatch, when: str
    ) -> None:
        appender = open_spool()
        if when != "header":
            appender.append(b"", b"first").result(WAIT)
        real = disk.write_all

        def cut_off(fd: int, buffers: Sequence[bytes]) -> None:
            real(fd, [buffers[0][:5]])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(disk, "write_all", cut_off)
        if when == "seal":
            appender._writer.seal(0.0)
        else:
            with pytest.raises(SpoolFull):
                appender.append(b"", b"refused").result(WAIT)
        monkeypatch.setattr(disk, "write_all", real)
        eventually(lambda: not appender.full)
        appender.append(b"", b"after").result(WAIT)
        appender.close()

        assert ([b"after"] if when == "header" else [b"first", b"after"]) == payloads(directory)


class TestFailure:
    @pytest.mark.parametrize(
        "call", ["sync_file", "sync_directory"], ids=["fdatasync of a file", "fsync of the directory"]
    )
    def test_an_error_of_fsync_is_final(
        self, open_spool: Open, monkeypatch: pytest.MonkeyPatch, call: str
    ) -> None:
        told: list[SpoolError] = []
        tries: list[int] = []
        appender = open_spool(on_failure=told.append)

        def fail(_: object) -> None:
            tries.append(1)
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        real = getattr(disk, call)
        monkeypatch.setattr(disk, call, fail)
        with pytest.raises(SpoolError, match="Input/output error; check the disk"):
            appender.append(b"", b"x").result(WAIT)
        monkeypatch.setattr(disk, call, real)
        with pytest.raises(SpoolError, match="Input/output error"):
            appender.append(b"", b"y")
        appender.close()

        assert [1] == tries
        assert [appender.failure] == told

    def test_all_that_waits_fails_with_it(self, open_spool: Open, monkeypatch: pytest.MonkeyPatch) -> None:
        gate, entered = threading.Event(), threading.Event()
        appender = open_spool()
        appender.append(b"", b"opens the segment").result(WAIT)

        def fail(_: int) -> None:
            entered.set()
            gate.wait(WAIT)
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        monkeypatch.setattr(disk, "sync_file", fail)
        first = appender.append(b"", b"1")
        assert entered.wait(WAIT)
        second = appender.append(b"", b"2")
        gate.set()

        for future in (first, second):
            with pytest.raises(SpoolError, match="fdatasync failed"):
                future.result(WAIT)


def test_usage_counts_the_open_segment_and_knows_the_oldest_record(open_spool: Open, directory: Path) -> None:
    before = time.time()
    assert usage(directory) == Usage(0, 0, None)

    appender = open_spool(segment_bytes=100)
    appender.append(b"", b"x" * 200).result(WAIT)
    appender.append(b"", b"x").result(WAIT)
    held = usage(directory)

    assert held.segments == 2
    assert held.bytes == sum(file.stat().st_size for file in directory.iterdir() if file.name != "lock")
    assert held.oldest is not None
    assert before - 1 <= held.oldest <= time.time()
