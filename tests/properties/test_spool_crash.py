"""What survives a crash at any byte, and a flipped bit at any place."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from spool import Damage, Record, Segment, SpoolError, sealed_segments
from spool.format import HEADER_BYTES
from spool.writer import SegmentWriter

records = st.lists(st.builds(Record, st.binary(max_size=12), st.binary(max_size=300)), max_size=12)


lives = st.tuples(
    records,  # written and synced
    records,  # written, not synced
    st.floats(0, 1),  # how much of the bytes that were not synced survives
    st.sampled_from([b"", b"\0" * 64, b"GLR1\0\0\0\0", b"\xff"]),  # what the disk has behind them
)


def open_file(writer: SegmentWriter) -> Path | None:
    if writer._open is None:
        return None
    os.close(writer._open.fd)
    return writer._open.path


@given(st.lists(lives, min_size=1, max_size=4), st.sampled_from([200, 1_000, 1 << 20]))
@settings(max_examples=150, deadline=None)
def test_every_durable_record_is_read_once_and_in_order_after_crashes_at_any_byte(
    history: list[tuple[list[Record], list[Record], float, bytes]], segment_bytes: int
) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        expected: list[Record] = []
        for durable, hanging, share, tail in history:
            writer = SegmentWriter(directory, segment_bytes=segment_bytes, segment_seconds=60)
            writer.recover()
            writer.write(durable, 0)
            writer.sync()
            path = writer._open.path if writer._open else None
            synced = path.stat().st_size if path else 0
            writer.write(hanging, 0)
            left, headless = open_file(writer), False
            if left:
                # Of a segment that was opened after the sync nothing is durable.
                safe = synced if left == path else 0
                size = left.stat().st_size
                os.truncate(left, safe + round((size - safe) * share))
                headless = left.stat().st_size < HEADER_BYTES
                with left.open("ab") as file:
                    file.write(tail)
            last = SegmentWriter(directory, segment_bytes=segment_bytes, segment_seconds=60)
            last.recover()
            if headless:
                # Its bytes stay, and are reported: nobody can tell that they were not promised.
                for segment in sealed_segments(directory):
                    if segment.name == left.stem:  # type: ignore[union-attr]
                        assert refused(segment)
                        segment.delete()
            read = [record for segment in sealed_segments(directory) for record in segment.records()]
            promised = expected + durable

            assert read[: len(promised)] == promised
            assert read[len(promised) :] == hanging[: len(read) - len(promised)]
            expected = read


@given(records.filter(bool), st.floats(0, 1, exclude_max=True), st.integers(0, 7))
@settings(max_examples=300, deadline=None)
def test_a_flipped_bit_is_reported_and_costs_one_record_at_most(
    written: list[Record], place: float, bit: int
) -> None:
    with tempfile.TemporaryDirectory() as name:
        writer = SegmentWriter(Path(name), segment_bytes=1 << 20, segment_seconds=60)
        writer.write(written, 0)
        writer.seal(0)
        (segment,) = sealed_segments(Path(name))
        data = bytearray(segment.read())
        data[int(len(data) * place)] ^= 1 << bit
        segment.path.write_bytes(data)
        items = list(segment.salvage())
        saved = [item for item in items if isinstance(item, Record)]

        assert any(isinstance(item, Damage) for item in items)
        assert saved in (written, *(written[:i] + written[i + 1 :] for i in range(len(written))))
        assert refused(segment)


@given(st.binary(max_size=300), st.booleans())
@settings(max_examples=300, deadline=None)
def test_no_bytes_make_a_reader_raise_anything_but_its_own_error(data: bytes, with_header: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        writer = SegmentWriter(Path(name), segment_bytes=1 << 20, segment_seconds=60)
        writer.write([Record(b"o", b"p")], 0)
        writer.seal(0)
        (segment,) = sealed_segments(Path(name))
        segment.path.write_bytes((segment.read()[:60] if with_header else b"") + data)

        assert refused(segment)


def refused(segment: Segment) -> bool:
    try:
        list(segment.records())
    except SpoolError:
        return True
    return False
