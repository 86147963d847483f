"""The spool against a real kill -9 and a real limit of the kernel."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from spool import Appender, SpoolError, sealed_segments

if TYPE_CHECKING:
    from pathlib import Path

# Appends numbered records, and prints each number once it is durable.
CHILD = """
import sys
from collections import deque
from pathlib import Path
from spool import Appender
appender = Appender(
    Path(sys.argv[1]),
    segment_bytes=20_000,
    segment_seconds=0.05,
    max_bytes=1 << 30,
    reserve_bytes=0,
    reuse_bytes=int(sys.argv[3]),
)
hanging = deque()
for number in range(int(sys.argv[2]), 1_000_000):
    hanging.append((number, appender.append(b"origin", str(number).encode() * 20)))
    while len(hanging) > 50 or hanging and hanging[0][1].done():
        number, future = hanging.popleft()
        future.result()
        print(number, flush=True)
"""


def numbers(directory: Path) -> list[int]:
    records = [record for segment in sealed_segments(directory) for record in segment.records()]
    return [int(r.payload[: len(r.payload) // 20]) for r in records]


def reopen(directory: Path) -> None:
    Appender(directory, segment_bytes=1, segment_seconds=1, max_bytes=1 << 30, reserve_bytes=0).close()


@pytest.mark.parametrize("killed_after", [1, 100, 1_000, 5_000])
def test_kill_9_keeps_every_durable_record_once_and_in_order(tmp_path: Path, killed_after: int) -> None:
    start = 0
    for _ in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path), str(start), "0"], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout
        durable = start - 1
        for line in child.stdout:
            durable = int(line)
            if durable == start + killed_after:
                child.kill()
        child.stdout.close()
        child.wait(10)
        reopen(tmp_path)
        found = numbers(tmp_path)

        assert found == list(range(len(found)))
        assert len(found) > durable >= start + killed_after
        start = len(found)


# Files that were written over before a kill, so that the open segment is most likely one of them.
ENOUGH = 5


class Reader:
    """Reads what is sealed and deletes it, as long as the child lives; knows which files were written over."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._files: set[int] = set()
        self.numbers: list[int] = []
        self.written_over = 0

    def pass_on(self) -> None:
        """All that is sealed now. Names sort by age, and none comes before one that is there already."""
        for segment in sealed_segments(self._directory):
            found = segment.path.stat()
            # Of two names one is the appender's, which keeps the file open: no other has its inode.
            self.written_over += found.st_nlink > 1 and found.st_ino in self._files
            self._files.add(found.st_ino)
            self.numbers += [int(r.payload[: len(r.payload) // 20]) for r in segment.records()]
            segment.delete()


@pytest.mark.parametrize("killed_after", [1, 1_000])
def test_kill_9_keeps_what_was_written_over_deleted_segments(tmp_path: Path, killed_after: int) -> None:
    reader, start = Reader(tmp_path), 0
    for _ in range(3):
        reader.written_over = 0
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path), str(start), "1000000"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout
        durable = start - 1
        for line in child.stdout:
            durable = int(line)
            if durable >= start + killed_after and reader.written_over > ENOUGH:
                child.kill()
            elif not durable % 20:
                reader.pass_on()
        child.stdout.close()
        child.wait(10)
        assert reader.written_over > ENOUGH
        reopen(tmp_path)
        reader.pass_on()

        assert reader.numbers == list(range(len(reader.numbers)))
        assert len(reader.numbers) > durable >= start + killed_after
        assert not list(tmp_path.glob("carrier-*"))
        start = len(reader.numbers)


def test_a_second_process_is_refused_while_the_first_lives_and_let_in_when_it_is_killed(
    tmp_path: Path,
) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path), "0", "0"], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout
    child.stdout.readline()

    with pytest.raises(SpoolError, match=f"process {child.pid} appends to it already"):
        reopen(tmp_path)

    child.kill()
    child.stdout.close()
    child.wait(10)
    reopen(tmp_path)


# RLIMIT_FSIZE makes write(2) take a part and then nothing: the kernel's own "no room".
LIMITED = """
import resource, sys
from pathlib import Path
from spool import Appender, SpoolFull
appender = Appender(Path(sys.argv[1]), segment_bytes=1 << 20, segment_seconds=60, max_bytes=1 << 30, reserve_bytes=0)
appender.append(b"", b"1").result()
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
try:
    appender.append(b"", b"2" * 5_000).result()
except SpoolFull as error:
    print("full")
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
while appender.full:
    pass
appender.append(b"", b"3").result()
appender.close()
"""


def test_a_write_that_the_kernel_cuts_off_leaves_no_trace(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True, timeout=30, check=True
    )
    records = [record.payload for segment in sealed_segments(tmp_path) for record in segment.records()]

    assert done.stdout == "full\n"
    assert records == [b"1", b"3"]
