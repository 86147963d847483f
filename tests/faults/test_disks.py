"""Disks that are full, fail, or rot."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from alslog_process import AlsLogProcess
from chserver_process import ChServerProcess
from clickhouse_connect.driver.client import Client
from ledger_entries import payload_of
from ledger_process import LedgerProcess, fill, origin, wait_until
from set_checker import SetChecker, entry

from protos.gen import als_pb2 as als
from spool import Record, Segment, sealed_segments

pytestmark = pytest.mark.faults


def message(checker: SetChecker, paths: list[str]) -> bytes:
    made = als.StreamAccessLogsMessage(http_logs={"log_entry": map(entry, paths)})
    made.identifier.node.id = checker.node
    return made.SerializeToString()


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A disk of three megabytes."""
    path = tmp_path / "tiny"
    path.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", path], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no tmpfs may be mounted here: {done.stderr.strip()}")
    yield path
    subprocess.run(["umount", "-l", path], check=False)


async def test_a_full_disk_holds_the_sender_back_until_the_writer_has_made_room(
    server: ChServerProcess, client: Client, checker: SetChecker, tmp_path: Path, tiny: Path
) -> None:
    alslog = AlsLogProcess(
        tmp_path, spool=str(tiny), spool_reserve_bytes=0, segment_bytes=256 * 1024, unsynced_max_bytes=1024**2
    )
    ledger = LedgerProcess(tmp_path, server.url, server.password_file)
    config = ledger.config.read_text().replace('"ledger"', f'"alslog": {{"spool": "{tiny}"}}, "ledger"', 1)
    ledger.config.write_text(config)
    batches = [checker.new(1000) for _ in range(60)]

    with alslog:
        sending = asyncio.create_task(alslog.send(message(checker, paths) for paths in batches))
        await alslog.seen(lambda: alslog.said("the spool is full, reading stops"), "a full disk")
        assert not sending.done()
        await alslog.seen(lambda: alslog.metric("gateledger_als_paused") == 1, "the pause in the metrics")
        assert alslog.metric("gateledger_als_spool_bytes") > 2 * 2**20
        assert alslog.metric("gateledger_als_oldest_unstored_seconds") > 0
        assert alslog.metric("gateledger_als_entries_total") < len(checker.sent)
        with ledger:
            assert b"" == await sending
            checker.accept(checker.sent)
            assert 0 == alslog.stop()
            await asyncio.to_thread(wait_until, lambda: not sealed_segments(tiny), "an empty spool")

    checker.check(client)


def records(spool: Path) -> list[Record]:
    """All that the spool holds; there may have been no room for a seal."""
    items = [item for path in spool.glob("*-*") for item in Segment(path).salvage()]
    return [item for item in items if isinstance(item, Record)]


async def test_what_a_stop_on_a_full_disk_gives_up_is_counted(
    checker: SetChecker, tmp_path: Path, tiny: Path
) -> None:
    alslog = AlsLogProcess(
        tmp_path, spool=str(tiny), spool_reserve_bytes=0, segment_bytes=256 * 1024, drain_seconds=0
    )
    batches = [checker.new(1000) for _ in range(60)]
    with alslog:
        sending = asyncio.create_task(alslog.send(message(checker, paths) for paths in batches))
        await alslog.seen(lambda: alslog.said("the spool is full, reading stops"), "a full disk")
        code = await asyncio.to_thread(alslog.stop)
        with pytest.raises(grpc.RpcError):
            await sending

    ((lost,), (stopped,)) = (
        alslog.said("the spool stayed full, received entries are lost"),
        alslog.said("stopped"),
    )
    kept = records(tiny)
    assert code == 0
    assert (lost["entries"], stopped["entries"]) == (stopped["dropped"], 1000 * len(kept))
    assert stopped["dropped"] > 0


async def test_an_error_of_fdatasync_ends_alslog_at_once_and_what_was_accepted_is_stored(
    server: ChServerProcess, client: Client, checker: SetChecker, tmp_path: Path
) -> None:
    if not shutil.which("strace"):
        pytest.skip("strace makes the kernel's fdatasync fail; it is not here")
    alslog = AlsLogProcess(tmp_path)
    with alslog:
        paths = checker.new(10)
        await alslog.send([message(checker, paths)])
        checker.accept(paths)
        tracer = subprocess.Popen(  # noqa: ASYNC220
            [
                "strace",
                "-f",
                "-q",
                "-o",
                "/dev/null",
                "-e",
                "inject=fdatasync:error=EIO",
                "-p",
                str(alslog.process.pid),
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            await _attached(alslog.process.pid)
            with pytest.raises(grpc.RpcError):
                await alslog.send([message(checker, checker.new(10))])
            assert 1 == await asyncio.to_thread(alslog.wait)
        finally:
            tracer.kill()
            tracer.communicate()
    with alslog:
        paths = checker.new(10)
        await alslog.send([message(checker, paths)])
        checker.accept(paths)
    ledger = LedgerProcess(tmp_path, server.url, server.password_file)
    with ledger:
        ledger.drained()

    checker.check(client)


async def _attached(pid: int) -> None:
    """Come back when every thread of the process is traced."""
    for _ in range(1000):
        states = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/status")]  # noqa: ASYNC240
        if states and all("TracerPid:\t0" not in state for state in states):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("strace did not attach")


@pytest.mark.parametrize(
    ("place", "costs"),
    [
        pytest.param(lambda data: data.index(b"/3") - 40, "a header", id="in a record's header"),
        pytest.param(lambda data: data.index(b"/3"), "a payload", id="in a payload"),
        pytest.param(lambda _: 3, "nothing", id="in the segment's header"),
        pytest.param(lambda data: len(data) - 3, "nothing", id="in the seal"),
    ],
)
def test_a_bit_that_flips_in_an_old_segment_costs_its_record_at_most_and_is_told(  # noqa: PLR0917
    server: ChServerProcess, client: Client, checker: SetChecker, tmp_path: Path, place: object, costs: str
) -> None:
    ledger = LedgerProcess(tmp_path, server.url, server.password_file)
    records = [checker.new(1) for _ in range(8)]
    fill(ledger.spool, *((origin(node=checker.node), payload_of(*map(entry, each))) for each in records))
    (segment,) = ledger.spool.glob("*.seg")
    data = bytearray(segment.read_bytes())
    data[place(data)] ^= 0x10  # type: ignore[operator]
    segment.write_bytes(data)
    checker.accept(path for each in records for path in each)
    if costs != "nothing":
        checker.accepted.discard("/3")

    with ledger:
        ledger.drained()

    checker.check(client)
    assert (costs == "nothing") == ("/3" in {row[0] for row in checker.stored(client)})
    # Told, and its bytes kept; damage to header or seal alone has no bytes of an entry.
    assert [] != [event for event in ledger.events if event["event"].startswith("entries that cannot")]


CLOCK = """
import sys, time, json
from pathlib import Path
sys.path[:0] = sys.argv[2:3]
from ledger_process import fill, origin
from ledger_entries import payload_of
from set_checker import entry
real, shift = time.time_ns, [0]
time.time_ns = lambda: real() + shift[0]
DAY = 86_400 * 10**9
for number, days in enumerate((0, -1, 1, 0, 2, -2)):
    shift[0] = days * DAY
    each = json.loads(sys.argv[4])[number]
    fill(Path(sys.argv[1]), (origin(node=sys.argv[3], received_at=time.time_ns()), payload_of(*map(entry, each))))
"""


def test_a_clock_that_jumps_by_days_splits_no_batch_and_loses_nothing(
    server: ChServerProcess, client: Client, checker: SetChecker, tmp_path: Path
) -> None:
    ledger = LedgerProcess(tmp_path, server.url, server.password_file)
    records = [checker.new(5) for _ in range(6)]
    support = str(Path(__file__).resolve().parents[1] / "support")
    arguments = [str(ledger.spool), support, checker.node, json.dumps(records)]
    subprocess.run([sys.executable, "-c", CLOCK, *arguments], check=True, timeout=60)
    checker.accept(checker.sent)

    with ledger:
        ledger.drained()

    checker.check(client)
    days = client.query(
        "SELECT max(days) FROM (SELECT uniqExact(toDate(received_at)) AS days FROM audit.access_log GROUP BY batch)"
    ).result_rows
    assert [(1,)] == [tuple(row) for row in days]
