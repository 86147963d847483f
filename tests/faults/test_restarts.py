"""What a writer finds that died between two steps; and a receiver that lives through a thousand streams."""

from __future__ import annotations

from pathlib import Path

import grpc
import psutil
from alslog_process import METHOD, AlsLogProcess
from chserver_process import ChServerProcess
from clickhouse_connect.driver.client import Client
from ledger_entries import payload_of, select
from ledger_process import LedgerProcess, fill, origin, wait_until
from set_checker import SetChecker, entry

from ledger.manifest import NAME, Manifest
from protos.gen import als_pb2 as als
from spool import sealed_segments

# alslog keeps as many segments open, to write over them, as go into 384 MiB when each has 16 (docs/design/spool.md).
REUSED_SEGMENTS = 24


def spooled(ledger: LedgerProcess, checker: SetChecker, segments: int) -> dict[Path, bytes]:
    """Segments that are promised, and their content."""
    for _ in range(segments):
        paths = checker.new(10)
        checker.accept(paths)
        fill(ledger.spool, (origin(node=checker.node), payload_of(*map(entry, paths))))
    return {segment.path: segment.read() for segment in sealed_segments(ledger.spool)}


def test_a_crash_in_the_midst_of_the_deletion_doubles_nothing(
    server: ChServerProcess, client: Client, checker: SetChecker, tmp_path: Path
) -> None:
    ledger = LedgerProcess(tmp_path, server.url, server.password_file)
    content = spooled(ledger, checker, 4)
    with ledger:
        ledger.drained()
    (plan,) = Manifest(ledger.spool).finished
    assert 4 == len(plan.segments)
    for path in list(content)[2:]:
        path.write_bytes(content[path])

    with ledger:
        ledger.drained()

    checker.check(client)


def test_a_crash_after_the_last_booking_and_before_any_deletion_doubles_nothing(
    server: ChServerProcess, client: Client, checker: SetChecker, tmp_path: Path
) -> None:
    ledger = LedgerProcess(tmp_path, server.url, server.password_file)
    content = spooled(ledger, checker, 3)
    with ledger:
        ledger.drained()
    manifest = ledger.spool / NAME
    # Without its last line, which says that all is done.
    manifest.write_bytes(b"".join(manifest.read_bytes().splitlines(keepends=True)[:-1]))
    for path, data in content.items():
        path.write_bytes(data)

    with ledger:
        ledger.drained()

    checker.check(client)


def test_a_segment_that_vanished_from_an_unfinished_plan_is_told_and_the_others_stay(
    server: ChServerProcess, checker: SetChecker, tmp_path: Path
) -> None:
    ledger = LedgerProcess(tmp_path, server.url, server.password_file)
    content = spooled(ledger, checker, 3)
    with ledger:
        ledger.drained()
    manifest = ledger.spool / NAME
    manifest.write_bytes(b"".join(manifest.read_bytes().splitlines(keepends=True)[:-1]))
    for path in list(content)[1:]:
        path.write_bytes(content[path])

    with ledger:
        wait_until(lambda: "are gone" in str(ledger.status.get("last_error")), "an alarm")
        assert 2 == ledger.waiting()


def test_requests_with_the_same_id_and_intermediate_entries_are_all_kept(
    server: ChServerProcess, client: Client, checker: SetChecker, tmp_path: Path
) -> None:
    ledger = LedgerProcess(tmp_path, server.url, server.password_file)
    twice = entry("/0")
    again = entry("/0")
    again.common_properties.intermediate_log_entry = True
    fill(ledger.spool, (origin(node=checker.node), payload_of(twice, twice, again)))

    with ledger:
        ledger.drained()

    kept = f"SELECT request_id AS id, entry_type AS t FROM audit.access_log WHERE envoy_node = '{checker.node}' ORDER BY batch_row"
    rows = select(client, kept)
    assert ["", "", "intermediate"] == [row["t"] for row in rows]
    assert 1 == len({row["id"] for row in rows})


def test_a_thousand_streams_leave_no_memory_and_no_files_open(tmp_path: Path, checker: SetChecker) -> None:
    with AlsLogProcess(tmp_path) as alslog, grpc.insecure_channel(alslog.address) as channel:
        call = channel.stream_unary(METHOD)
        process = psutil.Process(alslog.process.pid)

        def streams(count: int) -> None:
            for _ in range(count):
                made = als.StreamAccessLogsMessage(http_logs={"log_entry": [entry(checker.new(1)[0])]})
                call(iter([made.SerializeToString()]))

        # The segments that are open to be written over come with time, up to a number of their own.
        def segments() -> int:
            return sum(Path(file.path).is_relative_to(tmp_path) for file in process.open_files())

        streams(100)
        memory, others = process.memory_info().rss, process.num_fds() - segments()
        streams(1000)

        assert process.memory_info().rss - memory < 16 * 2**20
        assert process.num_fds() - segments() - others < 10
        # Beside them the segment that is being written, and the lock.
        assert segments() <= REUSED_SEGMENTS + 2
