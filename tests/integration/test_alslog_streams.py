"""The real access log service and a real gRPC client: what is answered, and what is on disk then."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from alslog_process import METHOD, AlsLogProcess, message
from grpc_health.v1 import health_pb2, health_pb2_grpc

from alslog.wire import split
from spool import sealed_segments

MIB = 1 << 20


@pytest.fixture
def alslog(tmp_path: Path) -> Iterator[AlsLogProcess]:
    with AlsLogProcess(tmp_path, max_message_bytes=24 * MIB) as running:
        yield running


def kept_on_disk(alslog: AlsLogProcess) -> list[str]:
    """The entries that a restart after kill -9 finds."""
    alslog.kill()
    with alslog:
        pass
    return alslog.paths()


async def test_an_answered_stream_is_on_disk_whatever_happens_next(alslog: AlsLogProcess) -> None:
    first = message(["/a", "/b"], node="envoy-1")

    assert await alslog.send([first, message(["/c"]), message(["/d", "/e"])]) == b""
    assert alslog.metric("gateledger_als_entries_total") == 5
    assert kept_on_disk(alslog) == ["/a", "/b", "/c", "/d", "/e"]
    about = {"kind": "http", "log_name": "log", "node": "envoy-1"}
    assert alslog.origins() == [{**about, "entries": entries} for entries in (2, 1, 2)]


async def test_a_stream_without_messages_and_one_without_entries_are_answered(alslog: AlsLogProcess) -> None:
    assert await alslog.send([]) == b""
    assert await alslog.send([message([], node="envoy-1"), b""]) == b""
    assert alslog.stop() == 0
    assert alslog.records() == []


async def test_many_envoys_at_once_keep_their_names_and_their_order(alslog: AlsLogProcess) -> None:
    async def envoy(number: int) -> None:
        name = f"envoy-{number}"
        sent = [message([f"/{number}/0"], node=name, log_name="http")]
        sent += [message([f"/{number}/{i}"]) for i in range(1, 50)]
        await alslog.send(sent)

    await asyncio.gather(*(envoy(number) for number in range(8)))
    assert alslog.stop() == 0

    paths, origins = alslog.paths(), alslog.origins()
    assert [path for path in paths if path.startswith("/3/")] == [f"/3/{i}" for i in range(50)]
    assert len(paths) == 400
    assert {
        (path.split("/")[1], str(origin["node"])) for path, origin in zip(paths, origins, strict=True)
    } == {(str(number), f"envoy-{number}") for number in range(8)}


async def test_a_message_that_is_none_is_kept_raw_and_counted_and_the_stream_goes_on(
    alslog: AlsLogProcess,
) -> None:
    rubbish = b"\x12\x7fno list of entries"
    await alslog.send([message(["/before"], node="envoy-1"), rubbish, message(["/after"])])

    assert alslog.metric("gateledger_als_malformed_total") == 1
    assert alslog.metric("gateledger_als_entries_total") == 2
    assert alslog.stop() == 0
    assert alslog.paths() == ["/before", "/after"]
    assert alslog.origins()[1] == {
        "cause": "field 2 runs past the end at offset 20",
        "kind": "unparsed",
        "log_name": "log",
        "node": "envoy-1",
    }
    assert alslog.records()[1].payload == rubbish
    assert len(alslog.said("a message is no StreamAccessLogsMessage, it is kept as it came")) == 1


async def test_a_message_of_20_mib_is_taken_as_it_is(alslog: AlsLogProcess) -> None:
    big = message(["/" + "x" * MIB] * 20, node="envoy-1")
    await alslog.send([big])

    assert alslog.stop() == 0
    assert [record.payload for record in alslog.records()] == [split(big).entries]


async def test_a_message_above_the_limit_ends_its_stream_alone(alslog: AlsLogProcess) -> None:
    async with alslog.channel() as channel:
        other = channel.stream_unary(METHOD)()
        await other.write(message(["/other"], node="envoy-2"))
        with pytest.raises(grpc.aio.AioRpcError):
            await alslog.send([message(["/small"], node="envoy-1"), b"\0" * 25 * MIB])
        await other.done_writing()

        assert await other == b""
    await alslog.seen(lambda: alslog.said("a stream broke off"), "the broken stream is told")
    assert alslog.metric("gateledger_als_broken_streams_total") == 1
    assert alslog.stop() == 0
    assert sorted(alslog.paths()) == ["/other", "/small"]


async def test_what_a_stream_brought_before_it_broke_off_is_stored(alslog: AlsLogProcess) -> None:
    async with alslog.channel() as channel:
        call = channel.stream_unary(METHOD)()
        await call.write(message(["/a"], node="envoy-1"))
        await alslog.seen(lambda: alslog.metric("gateledger_als_entries_total") == 1, "the entry is on disk")
        assert alslog.metric("gateledger_als_streams") == 1
        call.cancel()
    await alslog.seen(lambda: alslog.metric("gateledger_als_streams") == 0, "the stream is gone")

    assert alslog.stop() == 0
    assert alslog.paths() == ["/a"]


async def test_a_full_spool_holds_the_senders_back_and_loses_nothing(tmp_path: Path) -> None:
    with AlsLogProcess(
        tmp_path, spool_max_bytes=16 * MIB, segment_bytes=MIB, unsynced_max_bytes=MIB
    ) as alslog:
        messages = [message([f"/{i}" + "x" * MIB], node="envoy-1") for i in range(40)]
        sending = asyncio.create_task(alslog.send(messages))
        await alslog.seen(lambda: alslog.said("the spool is full, reading stops"), "the spool is full")

        assert not sending.done()
        stored: list[str] = []
        while not sending.done():
            await asyncio.sleep(0.02)
            for segment in sealed_segments(alslog.spool):
                stored += [alslog_path(record.payload) for record in segment.records()]
                segment.delete()
        assert await sending == b""
        assert alslog.metric('gateledger_als_dropped_total{cause="stopped_while_full"}') == 0
        assert alslog.stop() == 0
        stored += [alslog_path(record.payload) for record in alslog.records()]

    assert stored == [f"/{i}" for i in range(40)]


def alslog_path(payload: bytes) -> str:
    start = payload.index(b"/")
    return payload[start : payload.index(b"x", start)].decode()


async def test_health_and_readiness_say_that_it_serves(alslog: AlsLogProcess) -> None:
    async with alslog.channel() as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for name in ("", METHOD.split("/")[1]):
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=name))

            assert answer.status == health_pb2.HealthCheckResponse.SERVING
    assert alslog.readiness() == {"ready": True, "full": False, "spool": str(alslog.spool)}
