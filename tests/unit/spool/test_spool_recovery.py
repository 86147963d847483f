from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from spool import Damage, Record, Recovered, SpoolError, sealed_segments
from spool.format import FRAME_BYTES, HEADER_BYTES, SEAL_BYTES
from spool.writer import SegmentWriter

if TYPE_CHECKING:
    from pathlib import Path

RECORDS = [Record(b"origin", b"payload %d" % i) for i in range(5)]
SIZE = FRAME_BYTES + len(b"origin") + len(b"payload 0")


def writer(directory: Path) -> SegmentWriter:
    return SegmentWriter(directory, segment_bytes=1 << 20, segment_seconds=60)


@pytest.fixture
def left_open(tmp_path: Path) -> Path:
    """A segment of five records whose process died before it was sealed."""
    dying = writer(tmp_path)
    dying.write(RECORDS, 0)
    dying.sync()
    assert dying._open
    os.close(dying._open.fd)
    return dying._open.path


@pytest.fixture
def sealed(left_open: Path) -> Path:
    writer(left_open.parent).recover()
    return left_open.with_suffix(".seg")


def flip(file: Path, offset: int) -> None:
    data = bytearray(file.read_bytes())
    data[offset] ^= 0x10
    file.write_bytes(data)


def test_a_whole_segment_that_was_left_open_is_sealed_with_all_its_records(left_open: Path) -> None:
    found = writer(left_open.parent).recover()

    assert found == (Recovered(left_open.stem, 5, 0, damaged=False),)
    assert [list(s.records()) for s in sealed_segments(left_open.parent)] == [RECORDS]
    assert not left_open.exists()


@pytest.mark.parametrize(
    "tail",
    [
        pytest.param(b"G", id="one byte of the next record"),
        pytest.param(b"\0" * 4096, id="a page of zeros"),
        pytest.param(b"GLR1" * 100, id="things that look like records"),
    ],
)
def test_a_torn_tail_is_cut_off_and_nothing_else(left_open: Path, tail: bytes) -> None:
    with left_open.open("ab") as file:
        file.write(tail)
    found = writer(left_open.parent).recover()

    assert found == (Recovered(left_open.stem, 5, len(tail), damaged=False),)
    assert [list(s.records()) for s in sealed_segments(left_open.parent)] == [RECORDS]


def test_the_seal_of_a_process_that_died_before_the_rename_is_kept(left_open: Path, sealed: Path) -> None:
    content = sealed.read_bytes()
    sealed.rename(left_open)
    writer(left_open.parent).recover()

    assert sealed.read_bytes() == content


def test_damage_before_the_last_valid_record_is_kept_and_reported(left_open: Path) -> None:
    flip(left_open, HEADER_BYTES + SIZE + FRAME_BYTES)
    found = writer(left_open.parent).recover()
    (segment,) = sealed_segments(left_open.parent)

    assert found == (Recovered(left_open.stem, 5, 0, damaged=True),)
    assert list(segment.salvage()) == [
        RECORDS[0],
        Damage(HEADER_BYTES + SIZE, SIZE, "the record's content does not match its checksum"),
        *RECORDS[2:],
    ]


@pytest.mark.parametrize("size", [0, 1, HEADER_BYTES - 1, HEADER_BYTES, HEADER_BYTES + 5])
def test_a_segment_that_died_before_its_first_record_is_removed(left_open: Path, size: int) -> None:
    os.truncate(left_open, size)
    writer(left_open.parent).recover()

    assert list(left_open.parent.iterdir()) == []


def test_a_segment_whose_header_is_damaged_is_kept_for_the_reader(left_open: Path) -> None:
    flip(left_open, 9)
    writer(left_open.parent).recover()
    (segment,) = sealed_segments(left_open.parent)

    assert [item for item in segment.salvage() if isinstance(item, Record)] == RECORDS
    with pytest.raises(SpoolError, match="offset 0: the segment's header is damaged"):
        list(segment.records())


def test_other_files_in_the_directory_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.open").write_text("mine")
    (tmp_path / "1.seg").write_text("mine too")

    assert writer(tmp_path).recover() == ()
    assert sealed_segments(tmp_path) == []
    assert len(list(tmp_path.iterdir())) == 2


class TestSealedSegment:
    def test_a_flipped_bit_is_reported_with_file_and_offset(self, sealed: Path) -> None:
        offset = HEADER_BYTES + 2 * SIZE
        flip(sealed, offset + FRAME_BYTES)
        (segment,) = sealed_segments(sealed.parent)
        read = segment.records()

        assert [next(read), next(read)] == RECORDS[:2]
        with pytest.raises(SpoolError, match=f"{sealed}: offset {offset}: the record's content"):
            next(read)

    @pytest.mark.parametrize("cut", [1, SEAL_BYTES, SEAL_BYTES + 1, SEAL_BYTES + SIZE])
    def test_a_segment_that_lost_its_end_is_reported(self, sealed: Path, cut: int) -> None:
        os.truncate(sealed, sealed.stat().st_size - cut)
        (segment,) = sealed_segments(sealed.parent)

        with pytest.raises(SpoolError, match=r"offset \d+: "):
            list(segment.records())

    def test_a_segment_that_lost_a_record_in_its_middle_is_reported(self, sealed: Path) -> None:
        data = sealed.read_bytes()
        sealed.write_bytes(data[: HEADER_BYTES + SIZE] + data[HEADER_BYTES + 2 * SIZE :])
        (segment,) = sealed_segments(sealed.parent)

        assert [item for item in segment.salvage() if isinstance(item, Record)] == [
            RECORDS[0],
            *RECORDS[2:],
        ]
        with pytest.raises(
            SpoolError, match=f"offset {HEADER_BYTES + SIZE}: no valid record, or not the next"
        ):
            list(segment.records())

    def test_bytes_behind_the_seal_are_reported(self, sealed: Path) -> None:
        with sealed.open("ab") as file:
            file.write(b"more")
        (segment,) = sealed_segments(sealed.parent)

        with pytest.raises(SpoolError, match="bytes follow the seal"):
            list(segment.records())

    def test_a_record_of_another_segment_is_not_taken_for_one_of_this(
        self, sealed: Path, tmp_path: Path
    ) -> None:
        other = writer(tmp_path)
        other.write(RECORDS, 0)
        other.seal(0)
        first, second = sealed_segments(tmp_path)
        middle = slice(HEADER_BYTES + SIZE, HEADER_BYTES + 2 * SIZE)
        data = bytearray(second.read())
        data[middle] = first.read()[middle]
        second.path.write_bytes(data)

        with pytest.raises(SpoolError, match="no valid record, or not the next"):
            list(second.records())

    def test_deleting_twice_is_fine_and_reading_what_is_gone_is_an_error(self, sealed: Path) -> None:
        (segment,) = sealed_segments(sealed.parent)
        segment.delete()
        segment.delete()

        assert sealed_segments(sealed.parent) == []
        with pytest.raises(SpoolError, match="cannot be read: No such file"):
            list(segment.records())


def test_a_directory_that_is_not_there_holds_no_segments(tmp_path: Path) -> None:
    assert sealed_segments(tmp_path / "nowhere") == []
