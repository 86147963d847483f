"""How the access log service starts, stops and fails."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import stat
from pathlib import Path

import grpc
import pytest
from alslog_process import METHOD, AlsLogProcess, message
from grpc_health.v1 import health_pb2, health_pb2_grpc

# alslog with a disk that fails from the moment on when the file "broken" is in HOME.
BROKEN_DISK = """
import errno, os, sys
from pathlib import Path
from alslog.__main__ import main
from spool import disk
home = Path(sys.argv[sys.argv.index("--home") + 1])
real = disk.sync_file
def sync_file(fd):
    if (home / "broken").exists():
        with (home / "tries").open("a") as tries:
            tries.write("x")
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    real(fd)
disk.sync_file = sync_file
main()
"""

# alslog with a disk that takes its time while the file "slow" is in HOME.
SLOW_DISK = """
import sys, time
from pathlib import Path
from alslog.__main__ import main
from spool import disk
home = Path(sys.argv[sys.argv.index("--home") + 1])
real = disk.sync_file
def sync_file(fd):
    while (home / "slow").exists():
        time.sleep(0.01)
    real(fd)
disk.sync_file = sync_file
main()
"""


async def test_a_stream_is_not_answered_before_its_entries_are_on_disk(tmp_path: Path) -> None:
    with AlsLogProcess(tmp_path, program=("-c", SLOW_DISK)) as alslog:
        (tmp_path / "slow").touch()
        sending = asyncio.create_task(alslog.send([message(["/a"], node="envoy-1")]))
        await alslog.seen(lambda: alslog.metric("gateledger_als_unsynced_bytes") > 0, "the message came")
        done, _ = await asyncio.wait([sending], timeout=0.3)

        assert not done
        assert alslog.metric("gateledger_als_entries_total") == 0
        (tmp_path / "slow").unlink()
        assert await sending == b""


async def test_sigterm_under_load_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    answered: list[str] = []
    sent: list[str] = []
    numbers = itertools.count()

    async def envoy(alslog: AlsLogProcess, name: str) -> None:
        while True:
            paths = [f"/{next(numbers)}" for _ in range(20)]
            sent.extend(paths)
            await alslog.send([message(paths[:10], node=name), *(message([path]) for path in paths[10:])])
            answered.extend(paths)

    with AlsLogProcess(tmp_path, drain_seconds=0.5) as alslog:
        envoys = [asyncio.create_task(envoy(alslog, f"envoy-{i}")) for i in range(4)]
        while len(answered) < 2_000:
            await asyncio.sleep(0.01)
        alslog.process.terminate()
        ends = await asyncio.gather(*envoys, return_exceptions=True)
        code = alslog.wait()

    assert code == 0
    assert {type(end) for end in ends} == {grpc.aio.AioRpcError}
    stored = alslog.paths()
    assert len(stored) == len(set(stored))
    assert set(answered) <= set(stored) <= set(sent)


async def test_kill_9_under_load_keeps_what_was_answered(tmp_path: Path) -> None:
    answered: list[str] = []
    with AlsLogProcess(tmp_path, segment_seconds=60) as alslog:

        async def envoy(name: str) -> None:
            for i in itertools.count():
                await alslog.send([message([f"/{name}/{i}"], node=name)])
                answered.append(f"/{name}/{i}")

        envoys = [asyncio.create_task(envoy(f"envoy-{i}")) for i in range(3)]
        while len(answered) < 300:
            await asyncio.sleep(0.01)
        alslog.kill()
        await asyncio.gather(*envoys, return_exceptions=True)
    with alslog:
        assert len(alslog.said("recovered a segment that was left open")) == 1
    stored = alslog.paths()

    assert len(stored) == len(set(stored))
    assert set(answered) <= set(stored)


async def test_a_stop_reads_open_streams_until_they_are_silent_and_answers_those_that_end(
    tmp_path: Path,
) -> None:
    with AlsLogProcess(tmp_path, drain_seconds=20) as alslog:
        async with alslog.channel() as channel:
            calls = [channel.stream_unary(METHOD)() for _ in range(2)]
            for number, call in enumerate(calls):
                await call.write(message([f"/{number}/before"], node="envoy-1"))
            await alslog.seen(lambda: alslog.metric("gateledger_als_streams") == 2, "both streams are open")
            alslog.process.terminate()
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            while (await watch.read()).status != health_pb2.HealthCheckResponse.NOT_SERVING:
                continue
            watch.cancel()
            for number, call in enumerate(calls):
                await call.write(message([f"/{number}/after"]))
            await calls[0].done_writing()

            assert await calls[0] == b""
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await calls[1]
        assert (refused.value.code(), refused.value.details()) == (
            grpc.StatusCode.UNAVAILABLE,
            "alslog is stopping",
        )
        assert alslog.wait() == 0
    assert sorted(alslog.paths()) == ["/0/after", "/0/before", "/1/after", "/1/before"]


async def test_a_failing_disk_ends_it_at_once_and_is_not_tried_again(tmp_path: Path) -> None:
    with AlsLogProcess(tmp_path, program=("-c", BROKEN_DISK)) as alslog:
        await alslog.send([message(["/fine"], node="envoy-1")])
        (tmp_path / "broken").touch()
        with pytest.raises(grpc.aio.AioRpcError):
            await alslog.send([message(["/lost"], node="envoy-1")])

        assert alslog.wait() == 1
    assert len(alslog.said("the spool failed, alslog ends")) == 1
    assert (tmp_path / "tries").read_text() == "x"
    (tmp_path / "broken").unlink()
    with AlsLogProcess(tmp_path):
        pass
    assert alslog.paths()[0] == "/fine"


def test_its_socket_and_its_spool_belong_to_its_owner_alone(tmp_path: Path) -> None:
    with AlsLogProcess(tmp_path) as alslog:
        assert stat.S_IMODE((tmp_path / "run" / "alslog.sock").stat().st_mode) == 0o600
        assert stat.S_IMODE(alslog.spool.stat().st_mode) == 0o700


def test_it_takes_the_socket_of_a_killed_process(tmp_path: Path) -> None:
    with AlsLogProcess(tmp_path) as alslog:
        alslog.kill()
        assert (tmp_path / "run" / "alslog.sock").exists()
    with alslog:
        assert alslog.stop() == 0


def refusal(alslog: AlsLogProcess, *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a process that does not serve."""
    process = alslog.popen(*arguments)
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err


def test_a_second_process_on_the_same_spool_is_refused(tmp_path: Path) -> None:
    with AlsLogProcess(tmp_path) as alslog:
        code, out, err = refusal(AlsLogProcess(tmp_path))

        assert (code, out) == (2, "")
        assert re.fullmatch(
            rf"alslog: spool .*/spool/alslog: process {alslog.process.pid} appends to it already; "
            r"stop that process or choose another directory\n",
            err,
        )


def test_a_taken_socket_is_refused(tmp_path: Path) -> None:
    with AlsLogProcess(tmp_path / "one") as alslog:
        code, _, err = refusal(AlsLogProcess(tmp_path / "two", listen=alslog.address))

    assert code == 2
    assert f"alslog: cannot listen on {alslog.address}: another process listens there" in err
    assert "Traceback" not in err


def test_a_taken_metrics_port_is_refused(tmp_path: Path) -> None:
    with AlsLogProcess(tmp_path / "one") as alslog:
        taken = alslog.said("ready")[0]["metrics"].removeprefix("http://")
        code, _, err = refusal(AlsLogProcess(tmp_path / "two", metrics=taken))

    assert code == 2
    assert f"alslog: cannot listen on {taken}" in err
    assert "Traceback" not in err


def test_check_validates_the_settings_and_touches_nothing(tmp_path: Path) -> None:
    code, out, err = refusal(AlsLogProcess(tmp_path), "--check")

    assert (code, out, err) == (0, "alslog: the settings are fine\n", "")
    assert [file.name for file in tmp_path.iterdir()] == ["alslog.json"]


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        pytest.param({"listens": "x"}, "alslog.listens: no such setting", id="unknown key"),
        pytest.param({"segment_seconds": "soon"}, "alslog.segment_seconds: ", id="wrong type"),
        pytest.param(
            {"listen": "here"}, "cannot listen on 'here': use unix:/PATH or HOST:PORT", id="address"
        ),
    ],
)
def test_check_refuses_unusable_settings(tmp_path: Path, settings: dict[str, object], why: str) -> None:
    code, out, err = refusal(AlsLogProcess(tmp_path, **settings), "--check")

    assert (code, out) == (2, "")
    assert why in err
    assert "Traceback" not in err


def test_the_log_is_one_json_object_a_line(tmp_path: Path) -> None:
    with AlsLogProcess(tmp_path) as alslog:
        alslog.stop()

    assert [
        record["event"] for record in alslog.logged if record["event"] in {"ready", "stopping", "stopped"}
    ]
    assert all(record["service"] == "alslog" for record in alslog.logged), json.dumps(alslog.logged)
