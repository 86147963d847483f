"""How fast alslog takes Envoy's entries onto the disk, and what an entry costs it.

The same client sends the same messages to alslog and to a receiver that only reads and counts
(what gRPC for Python costs by itself), each a process of its own, one connection and two streams,
as an Envoy with two workers has. Every figure is checked: alslog's spool holds each entry.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import psutil

from alslog.wire import split
from protos.gen import accesslog_pb2, als_pb2
from spool import sealed_segments

if TYPE_CHECKING:
    from collections.abc import Iterator

METHOD = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs"
STREAMS = 2
START_SECONDS = 30

NO_OP = """
import asyncio, sys
import grpc
async def read(_, context):
    count = 0
    while isinstance(await context.read(), bytes):
        count += 1
    return str(count).encode()
async def main():
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
    handler = grpc.stream_unary_rpc_method_handler(read)
    name, method = sys.argv[2].strip("/").split("/")
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, {method: handler}),))
    server.add_insecure_port(sys.argv[1])
    await server.start()
    await server.wait_for_termination()
asyncio.run(main())
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What each stream sends: so many messages of so many entries."""

    name: str
    messages: int
    entries: int

    @property
    def total(self) -> int:
        return STREAMS * self.messages * self.entries


LOADS = (
    Load("messages of 256 KiB", messages=300, entries=386),
    Load("messages of 16 KiB, Envoy's default", messages=2_500, entries=24),
)


def sample_entry() -> accesslog_pb2.HTTPAccessLogEntry:
    """An entry as Envoy sends it for a decided request, with the decision in its metadata."""
    decision = {
        "decision_id": "0197a2f4-7c1b-7d3e-9a55-3f1f6f0e2c11",
        "effect": "allow",
        "reason_code": "rule_allow",
        "reason": "role:support may GET /orders/*",
        "subject": "alice",
        "roles": "role:support,role:everyone,role:authenticated",
        "auth_method": "jwt",
        "auth_issuer": "demo",
        "service": "orders",
        "action": "GET",
        "resource": "/orders/1",
        "rule": "p, role:support, orders, /orders/*, GET, allow",
        "rule_line": "12",
        "policy_version": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "decide_us": "38",
    }
    made = accesslog_pb2.HTTPAccessLogEntry(
        common_properties={
            "upstream_cluster": "orders",
            "route_name": "orders",
            "stream_id": "0d5a7d0e-8b1b-4a3e-a4a8-1f3f4d7f0c55",
        },
        request={
            "scheme": "https",
            "authority": "shop.example",
            "path": "/orders/1",
            "user_agent": "curl/8.5.0",
        },
        response={"response_code_details": "via_upstream"},
    )
    made.common_properties.metadata.filter_metadata["envoy.filters.http.ext_authz"].update(decision)
    return made


def messages(load: Load) -> Iterator[bytes]:
    """A stream's messages, the first one with its identifier."""
    entries = {"log_entry": [sample_entry()] * load.entries}
    message = als_pb2.StreamAccessLogsMessage(http_logs=entries)
    later = message.SerializeToString()
    message.MergeFrom(
        als_pb2.StreamAccessLogsMessage(identifier={"log_name": "bench", "node": {"id": "bench"}})
    )
    yield message.SerializeToString()
    yield from [later] * (load.messages - 1)


async def send(address: str, load: Load) -> list[bytes]:
    """The answers of all streams."""
    async with grpc.aio.insecure_channel(address, options=[("grpc.max_send_message_length", -1)]) as channel:
        call = channel.stream_unary(METHOD)
        return list(await asyncio.gather(*(call(messages(load)) for _ in range(STREAMS))))


def measure(process: subprocess.Popen[bytes], address: str, load: Load, name: str) -> list[bytes]:
    """Send the load, print the two figures, give the answers."""
    server = psutil.Process(process.pid)
    before, start = server.cpu_times(), time.perf_counter()
    answers = asyncio.run(send(address, load))
    seconds, after = time.perf_counter() - start, server.cpu_times()
    cpu = after.user + after.system - before.user - before.system
    print(f"{name}, {load.name}: {load.total / seconds:,.0f} entries/s")
    print(f"{name}, {load.name}: {cpu / load.total * 1e6:.2f} us CPU an entry")
    return answers


@contextlib.contextmanager
def running(address: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Python process that serves at the address while the block runs."""
    process = subprocess.Popen([sys.executable, *arguments], stderr=subprocess.DEVNULL)
    try:
        with grpc.insecure_channel(address) as channel:
            grpc.channel_ready_future(channel).result(START_SECONDS)
        yield process
    finally:
        process.terminate()
        process.wait(START_SECONDS)


def bench_no_op(home: Path, load: Load) -> None:
    address = f"unix:{home}/no-op.sock"
    with running(address, "-c", NO_OP, address, METHOD) as process:
        answers = measure(process, address, load, "no-op receiver")

    assert answers == [str(load.messages).encode()] * STREAMS


def bench_alslog(home: Path, load: Load) -> None:
    config = home / "gateledger.json"
    config.write_text(json.dumps({"alslog": {"metrics": "127.0.0.1:0"}}))
    address = f"unix:{home}/run/alslog.sock"
    with running(address, "-m", "alslog", "--config", str(config), "--home", str(home)) as process:
        answers = measure(process, address, load, "alslog onto the disk")

    segments = sealed_segments(home / "spool" / "alslog")
    payloads = (record.payload for segment in segments for record in segment.records())
    counted = sum(split(b"\x12" + _length(len(payload)) + payload).count for payload in payloads)
    assert answers == [b""] * STREAMS
    assert counted == load.total


def _length(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def main() -> None:
    print(f"entry: {len(sample_entry().SerializeToString())} bytes; {STREAMS} streams")
    for load in LOADS:
        for bench in (bench_no_op, bench_alslog):
            with tempfile.TemporaryDirectory() as home:
                bench(Path(home), load)


if __name__ == "__main__":
    main()
