"""What the ledger takes: from gRPC through the disk into ClickHouse, sender and all on this machine.

`--rate` entries a second are offered for `--seconds`; a figure counts only what a query finds. Each run uses the
services as they ship, as processes of their own, and checks that every entry is one row. The same sender sends to
a receiver that only reads, which is what gRPC for Python takes by itself.

    python benchmarks/bench_ledger.py --rate 150000 --seconds 60 --runs 5
"""

from __future__ import annotations

import argparse
import contextlib
import json
import secrets
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import psutil

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "support"))

import als_sender
from alslog_process import AlsLogProcess
from bench_alslog import METHOD, NO_OP, running
from chserver_process import ChServerProcess
from ledger_process import LedgerProcess

from protos.gen import accesslog_pb2 as accesslog
from protos.gen import als_pb2 as als

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from clickhouse_connect.driver.client import Client

STREAMS = 2
MESSAGE_ENTRIES = 1_000
DISTINCT = 100_000
# Envoy's flush interval as shipped.
FLUSH_SECONDS = 0.25
SETTLE_SECONDS = 120
# Between two counts of the rows while a load runs, and once it is over: a count costs its 5 ms of the same processors.
COUNT_SECONDS, LAST_COUNT_SECONDS = 1.0, 0.1
# Parts are listed at every so-manieth count only: that costs twice as much.
COUNTS_A_LOOK = 5


def decision(number: int) -> dict[str, str]:
    """What extauthz says of an allowed request of one of 500 subjects to one of 10,000 resources."""
    return {
        "decision_id": uuid7(),
        "effect": "allow",
        "reason_code": "rule_allow",
        "subject": f"user{number % 500}@example.com",
        "roles": "role:customer",
        "auth_method": "jwt",
        "auth_issuer": "demo",
        "service": "orders",
        "action": "GET",
        "resource": f"/orders/{number * 7919 % 10_000}",
        "rule": "p, role:customer, orders, /orders/*, GET, allow",
        "rule_line": "12",
        "policy_version": "3f" * 32,
        "config_version": "a1" * 8,
        "decide_us": str(40 + number % 60),
    }


def uuid7() -> str:
    """A decision's id: 48 bits of time, 74 of chance."""
    made = (time.time_ns() // 10**6) << 80 | 7 << 76 | secrets.randbits(12) << 64 | 2 << 62
    return str(uuid.UUID(int=made | secrets.randbits(62)))


def entry(number: int, at_ns: int) -> accesslog.HTTPAccessLogEntry:
    """An entry as the shipped bootstrap makes Envoy send it."""
    made = accesslog.HTTPAccessLogEntry(protocol_version=2)
    common, said = made.common_properties, decision(number)
    common.start_time.seconds, common.start_time.nanos = divmod(at_ns, 10**9)
    common.duration.nanos = 1_234_567 + number * 7919 % 50_000_000
    for address in (common.downstream_remote_address, common.downstream_direct_remote_address):
        address.socket_address.address, address.socket_address.port_value = f"10.0.{number % 200}.9", 40_000
    common.upstream_remote_address.socket_address.address = "10.1.0.3"
    common.upstream_remote_address.socket_address.port_value = 8080
    common.upstream_cluster, common.route_name, common.access_log_type = "orders", "orders", 6
    common.stream_id = str(uuid.UUID(bytes=secrets.token_bytes(16), version=4))
    common.custom_tags.update(
        {"service": "orders", "authz_duration_us": str(300 + number % 400), "peer_dns_san": "-"}
    )
    common.metadata.filter_metadata["envoy.filters.http.ext_authz"].update(said)
    made.request.request_headers[":method"] = "GET"
    made.request.path, made.request.authority = said["resource"], "shop.example"
    made.request.scheme, made.request.request_method = "https", 1
    made.request.request_id, made.request.user_agent = common.stream_id, "curl/8.11.0"
    made.response.response_code.value, made.response.response_body_bytes = 200, 512 + number % 1000
    made.response.response_code_details = "via_upstream"
    return made


def message(entries: Sequence[accesslog.HTTPAccessLogEntry], node: str) -> bytes:
    """One message of Envoy's."""
    logs = als.StreamAccessLogsMessage.HTTPAccessLogEntries(log_entry=entries)
    identifier = als.StreamAccessLogsMessage.Identifier(log_name="gate")
    identifier.node.id = node
    return als.StreamAccessLogsMessage(identifier=identifier, http_logs=logs).SerializeToString()


def corpus() -> list[tuple[int, bytes]]:
    now = time.time_ns()
    return [
        (
            MESSAGE_ENTRIES,
            message([entry(first + n, now + (first + n) * 10_000) for n in range(MESSAGE_ENTRIES)], "node-1"),
        )
        for first in range(0, DISTINCT, MESSAGE_ENTRIES)
    ]


@dataclass(slots=True)
class Pipeline:
    """alslog, ledger and chserver with the settings that ship."""

    server: ChServerProcess
    alslog: AlsLogProcess
    ledger: LedgerProcess
    client: Client

    def rows(self) -> int:
        found: int = self.client.command("SELECT count() FROM audit.access_log")
        return found

    def parts(self) -> int:
        """Parts that wait for a merge, or came out of one."""
        found: int = self.client.command(
            "SELECT count() FROM system.parts WHERE database = 'audit' AND table = 'access_log' AND active"
        )
        return found

    def processes(self) -> dict[str, psutil.Process]:
        pids = {
            "alslog": self.alslog.process.pid,
            "ledger": self.ledger.pid,
            "chserver": self.server.pid,
        }
        return {name: psutil.Process(pid) for name, pid in pids.items()}


@contextlib.contextmanager
def pipeline(home: Path) -> Iterator[Pipeline]:
    alslog = AlsLogProcess(home, segment_seconds=0.5)
    with ChServerProcess(home / "ch") as server, alslog:
        ledger = LedgerProcess(home, server.url, server.password_file, poll_seconds=0.1, retry_max_seconds=30)
        with ledger:
            while ledger.status.get("clickhouse") != "up":
                time.sleep(0.05)
            yield Pipeline(server, alslog, ledger, server.writer_client(send_receive_timeout=900))


@dataclass(slots=True)
class Watch:
    """What was seen while a load ran: rows over time, the memory of the processes, the most parts of the table."""

    lines: Pipeline
    rows: list[tuple[float, int]] = field(default_factory=list)
    memory: dict[str, int] = field(default_factory=dict)
    parts: int = 0
    sent: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        processes = self.lines.processes()
        while not self.done.is_set():
            self.sent.wait(COUNT_SECONDS)
            self.done.wait(LAST_COUNT_SECONDS if self.sent.is_set() else 0.0)
            self.rows.append((time.time(), self.lines.rows()))
            if len(self.rows) % COUNTS_A_LOOK == 1:
                self.parts = max(self.parts, self.lines.parts())
            for name, process in processes.items():
                self.memory[name] = max(self.memory.get(name, 0), process.memory_info().rss)

    def at(self, rows: int) -> float:
        """When so many rows were first seen."""
        return next(when for when, count in self.rows if count >= rows)


@dataclass(frozen=True, slots=True)
class Run:
    """The figures of one run. `lag_after`: seconds from the load's end until all was queryable."""

    offered: float
    stored: float
    lag_after: float
    peak_mib: dict[str, float]
    cpu_us: dict[str, float]
    parts: int


def send(address: str, file: Path, rate: float, seconds: float) -> subprocess.Popen[str]:
    script = str(Path(__file__).with_name("als_sender.py"))
    arguments = [address, str(file), str(STREAMS), str(rate), str(seconds)]
    return subprocess.Popen([sys.executable, script, *arguments], stdout=subprocess.PIPE, text=True)


def told(sender: subprocess.Popen[str], seconds: float) -> dict[str, float]:
    out, _ = sender.communicate(timeout=seconds + SETTLE_SECONDS)
    said: dict[str, float] = json.loads(out)
    return said


def cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def sustained(file: Path, rate: float, seconds: float) -> Run:
    """One run: the load, and what became of it."""
    with tempfile.TemporaryDirectory(prefix="bench-ledger-") as name, pipeline(Path(name)) as lines:
        warm = send(lines.alslog.address, file, 20_000, 1.0)
        before = int(told(warm, 1)["sent"])
        settled(lines, before)
        watch = Watch(lines)
        watcher = threading.Thread(target=watch.run, daemon=True)
        processes = lines.processes()
        cpu_before = {name: cpu(process) for name, process in processes.items()}
        watcher.start()
        said = told(send(lines.alslog.address, file, rate, seconds), seconds)
        watch.sent.set()
        sent = int(said["sent"])
        settled(lines, before + sent)
        used = {name: cpu(process) - cpu_before[name] for name, process in processes.items()}
        used["sender"] = said["cpu"]
        time.sleep(0.5)
        watch.done.set()
        watcher.join()
        checked(lines.client, before + sent)
        whole = watch.at(before + sent)
        return Run(
            offered=sent / (said["ended"] - said["began"]),
            stored=sent / (whole - said["began"]),
            lag_after=whole - said["ended"],
            peak_mib={name: used / 2**20 for name, used in watch.memory.items()},
            cpu_us={name: seconds / sent * 1e6 for name, seconds in used.items()},
            parts=watch.parts,
        )


def settled(lines: Pipeline, rows: int) -> None:
    deadline = time.monotonic() + SETTLE_SECONDS
    while lines.rows() < rows:
        assert time.monotonic() < deadline, (lines.rows(), rows, lines.ledger.status)
        time.sleep(0.05)


def checked(client: Client, rows: int) -> None:
    """Every entry is one row: as many rows as entries, each number of each batch once."""
    found = client.query(
        "SELECT sum(n), countIf(n != numbers OR n != greatest + 1) FROM ("
        "SELECT count() AS n, uniqExact(batch_row) AS numbers, max(batch_row) AS greatest "
        "FROM audit.access_log GROUP BY batch)"
    ).result_rows
    assert [(rows, 0)] == [tuple(map(int, row)) for row in found], found


def bytes_per_row(file: Path) -> float:
    """On disk, indexes and all, once merged; each entry is there once."""
    with tempfile.TemporaryDirectory(prefix="bench-ledger-") as name, pipeline(Path(name)) as lines:
        settled(lines, int(told(send(lines.alslog.address, file, 0, 0), 0)["sent"]))
        lines.client.command("OPTIMIZE TABLE audit.access_log FINAL")
        return float(
            lines.client.command(
                "SELECT sum(bytes_on_disk) / sum(rows) FROM system.parts "
                "WHERE database = 'audit' AND table = 'access_log' AND active"
            )
        )


def no_op(file: Path, seconds: float) -> float:
    """Entries a second that a receiver takes which only reads."""
    with tempfile.TemporaryDirectory() as name:
        address = f"unix:{name}/no-op.sock"
        with running(address, "-c", NO_OP, address, METHOD):
            said = told(send(address, file, 0, seconds), seconds)
    return said["sent"] / (said["ended"] - said["began"])


def freshness(seconds: float, rate: int = 1_000) -> list[float]:
    """Seconds from a request's end until a query finds its row, Envoy's flush interval included."""
    with tempfile.TemporaryDirectory(prefix="bench-ledger-") as name, pipeline(Path(name)) as lines:
        seen, waits = 0, []
        done = threading.Event()

        def look() -> None:
            nonlocal seen
            while not done.wait(0.02):
                newest = int(
                    lines.client.command(
                        "SELECT toInt64(toUnixTimestamp64Nano(max(time))) FROM audit.access_log"
                    )
                )
                now = time.time_ns()
                waits.extend((now - at) / 1e9 for at in ended if seen < at <= newest)
                seen = max(seen, newest)

        ended: list[int] = []
        per_flush = int(rate * FLUSH_SECONDS)
        options = [("grpc.max_send_message_length", -1)]
        watcher = threading.Thread(target=look, daemon=True)
        watcher.start()

        def messages() -> Iterator[bytes]:
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                time.sleep(FLUSH_SECONDS)
                now, gap = time.time_ns(), int(FLUSH_SECONDS * 1e9 / per_flush)
                times = [now - gap * back for back in range(per_flush, 0, -1)]
                made = [entry(number, at) for number, at in enumerate(times)]
                for one in made:
                    one.common_properties.duration.Clear()
                data = message(made, "node-1")
                ended.extend(times)
                yield data

        with grpc.insecure_channel(lines.alslog.address, options=options) as channel:
            channel.stream_unary(METHOD)(messages())
            settled(lines, len(ended))
        time.sleep(0.2)
        done.set()
        watcher.join()
        assert len(waits) == len(ended), (len(waits), len(ended))
        return sorted(waits)


def median(runs: Sequence[Run], figure: str) -> float:
    return statistics.median(getattr(run, figure) for run in runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rate", type=float, default=150_000, help="entries a second that are offered")
    parser.add_argument("--seconds", type=float, default=10, help="how long a run offers them")
    parser.add_argument("--runs", type=int, default=1, help="the median of so many runs is printed")
    parser.add_argument("--freshness-seconds", type=float, default=15, help="how long 1,000/s are offered")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "messages"
        messages = corpus()
        als_sender.write(file, messages)
        size = sum(len(data) for _, data in messages) / DISTINCT
        print(
            f"ledger: {DISTINCT} distinct entries of {size:.0f} bytes, {MESSAGE_ENTRIES} a message, {STREAMS} streams"
        )
        bare = no_op(file, min(options.seconds, 10))
        print(f"no-op receiver, as fast as it takes them: {bare:,.0f} entries/s")
        runs = []
        for _ in range(options.runs):
            run = sustained(file, options.rate, options.seconds)
            runs.append(run)
            print(
                f"  run: offered {run.offered:,.0f}/s, queryable {run.stored:,.0f}/s, lag at the end {run.lag_after:.2f} s; "
                + ", ".join(f"{name} {us:.2f} us CPU a row" for name, us in run.cpu_us.items())
                + "; "
                + ", ".join(f"{name} {us:.0f} MiB" for name, us in run.peak_mib.items())
                + f"; {run.parts} parts at most"
            )
        print(
            f"ledger, received to queryable: {median(runs, 'stored'):,.0f} rows/s over {options.seconds:.0f} s"
        )
        print(f"ledger, offered: {median(runs, 'offered'):,.0f} rows/s")
        print(f"ledger, all queryable after the load's end: {median(runs, 'lag_after'):.2f} s")
        for process in ("alslog", "ledger", "chserver"):
            print(
                f"ledger, peak memory of {process}: {statistics.median(run.peak_mib[process] for run in runs):.0f} MiB"
            )
            print(
                f"ledger, {process}: {statistics.median(run.cpu_us[process] for run in runs):.2f} us CPU a row"
            )
        print(f"ledger, audit.access_log on disk, merged: {bytes_per_row(file):.0f} bytes/row")
    if options.freshness_seconds:
        waits = freshness(options.freshness_seconds)
        print(
            f"ledger, at 1,000/s a row is queryable after the request's end: "
            f"p50 {waits[len(waits) // 2]:.2f} s, p99 {waits[int(len(waits) * 0.99)]:.2f} s"
        )


if __name__ == "__main__":
    main()
