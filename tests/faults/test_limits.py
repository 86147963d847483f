"""alslog without file descriptors, and without memory: it ends or goes on, and what it had accepted is stored."""

from __future__ import annotations

import asyncio
import resource
from pathlib import Path

import grpc
import psutil
import pytest
from alslog_process import METHOD, AlsLogProcess
from chserver_process import ChServerProcess
from clickhouse_connect.driver.client import Client
from ledger_process import LedgerProcess
from set_checker import SetChecker, entry

from protos.gen import als_pb2 as als
from spool import sealed_segments

pytestmark = pytest.mark.faults

MIB = 2**20


def message(checker: SetChecker, path: str, padding: int = 0) -> bytes:
    """A message with the entry of this path, and so many bytes more in it."""
    made = als.StreamAccessLogsMessage(http_logs={"log_entry": [entry(path)]})
    made.identifier.node.id = checker.node
    made.http_logs.log_entry[0].request.referer = "x" * padding
    return made.SerializeToString()


async def send(channel: grpc.aio.Channel, checker: SetChecker, padding: int = 0) -> None:
    """An entry on a stream of its own; accepted once that is answered. Raises grpc.RpcError."""
    (path,) = checker.new(1)
    await channel.stream_unary(METHOD)(iter([message(checker, path, padding)]), timeout=10)
    checker.accept([path])


async def stored(alslog: AlsLogProcess, server: ChServerProcess, client: Client, checker: SetChecker) -> None:
    """Start alslog again, let the writer store all, and hold it against what was sent and accepted."""
    with alslog:
        async with alslog.channel() as channel:
            await send(channel, checker)
    ledger = LedgerProcess(alslog.home, server.url, server.password_file)
    with ledger:
        await asyncio.to_thread(ledger.drained)
    checker.check(client)


async def test_no_file_descriptor_ends_alslog_and_what_was_accepted_is_stored(
    server: ChServerProcess, client: Client, checker: SetChecker, tmp_path: Path
) -> None:
    alslog = AlsLogProcess(tmp_path)
    with alslog:
        async with alslog.channel() as channel:
            await send(channel, checker)
            await alslog.seen(lambda: sealed_segments(alslog.spool), "a sealed segment")
            # The connection lives on; the next segment cannot be opened.
            resource.prlimit(alslog.process.pid, resource.RLIMIT_NOFILE, (3, 3))
            with pytest.raises(grpc.RpcError):
                await send(channel, checker)
            code = await asyncio.to_thread(alslog.wait)

    assert code == 1
    assert "Too many open files" in alslog.said("the spool failed, alslog ends")[0]["error"]
    await stored(alslog, server, client, checker)


async def test_no_memory_costs_nothing_that_was_accepted(
    server: ChServerProcess, client: Client, checker: SetChecker, tmp_path: Path
) -> None:
    alslog = AlsLogProcess(tmp_path)
    with alslog:
        async with alslog.channel() as channel:
            await send(channel, checker)
            used = psutil.Process(alslog.process.pid).memory_info().vms
            resource.prlimit(alslog.process.pid, resource.RLIMIT_AS, (used + 8 * MIB, used + 8 * MIB))
            # Where the kernel refuses nobody can choose: it may end, refuse this one or that, or manage. grpc's
            # client says of a call whose connection broke while it wrote that it was cancelled.
            refused = grpc.RpcError | asyncio.CancelledError
            ends = await asyncio.gather(
                *(send(channel, checker, 4 * MIB) for _ in range(8)), return_exceptions=True
            )
            assert all(end is None or isinstance(end, refused) for end in ends), ends
        if alslog.process.poll() is None:
            alslog.kill()

    await stored(alslog, server, client, checker)
