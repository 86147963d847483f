"""How long the named audit queries and `audit gaps` take on the embedded ClickHouse, asked as the auditor over HTTP.

    python benchmarks/bench_audit.py [--rows 10000000] [--habits 300] [--home DIR] [--only NAME …]

Writes the rows of eight days with realistic cardinalities (2,000 subjects with a long tail, 8 services,
50,000 ids, 3,000 addresses, 6 % refused), plants a crawler and a bulk download in the last day, and asks every
query three times for the last day (the default period) and three times for all eight. One line a query: the
medians, with the CPU time of the server and its peak memory; then the slowest. Without --habits nearly every row is
a subject and resource that were never together before, the worst case of all that counts or remembers resources;
with --habits N each subject keeps to some N ids a service.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from audit_rows import DAYS, filled, witnesses
from chserver_process import ChServerProcess

from audit import catalogue, gaps
from audit.run import Window, ask, values_from

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from clickhouse_connect.driver.client import Client

    from audit.catalogue import Query

TRIES = 3
LIMIT = 1000
GIVEN = {"who-accessed": {"resource": "/orders/42"}, "activity": {"subject": "user7"}}
# With so few of them, that a query finds nothing in the last day need not mean that it is wrong.
LEAST_ROWS = 200_000
GAPS = "gaps"
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Cost:
    """Medians of one question: seconds on the clock, of CPU of the server, and rows that came out."""

    seconds: float
    cpu: float
    rows: int

    def __str__(self) -> str:
        return f"{self.seconds * 1000:.0f} ms (CPU {self.cpu * 1000:.0f} ms, {self.rows} rows)"


def main() -> None:
    given = _arguments()
    with _home(given.home) as home, ChServerProcess(home) as server:
        writer = server.writer_client(send_receive_timeout=600)
        began = time.perf_counter()
        data = filled(home, writer, given.rows, given.habits)
        print(f"{data.rows} rows, filled or found in {time.perf_counter() - began:.1f} s")
        windows = (
            Window(data.end - timedelta(days=1), data.end),
            Window(data.end - timedelta(days=DAYS), data.end),
        )
        worst = ("", 0.0)
        reader = server.reader_client()
        for query in catalogue.load().values():
            if given.only and query.name not in given.only:
                continue
            costs = [_cost(server.pid, partial(_rows, reader, query, window)) for window in windows]
            if data.rows >= LEAST_ROWS and not all(cost.rows for cost in costs):
                raise SystemExit(f"{query.name} found nothing of {data.rows} rows")
            print(f"{query.name}: last day {costs[0]}, {DAYS} days {costs[1]}", flush=True)
            worst = max(worst, (query.name, max(cost.seconds for cost in costs)), key=lambda pair: pair[1])
        print(
            f"slowest: {worst[0]}, {worst[1] * 1000:.0f} ms; peak memory of the server {_peak(server.pid)} MiB"
        )
        if not given.only or GAPS in given.only:
            witnesses(writer)
            for window in windows:
                cost = _cost(server.pid, partial(_gaps, reader, window))
                print(f"gaps over {(window.until - window.since).days} d: {cost}", flush=True)
            print(f"peak memory of the server {_peak(server.pid)} MiB")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=2_000_000, help="rows in all (default: 2000000)")
    parser.add_argument("--habits", type=int, default=0, help="ids a subject keeps to (default: 0, any)")
    parser.add_argument(
        "--home", type=Path, help="fill this directory once, and use it again (default: a new one)"
    )
    parser.add_argument("--only", nargs="+", default=(), help=f"only these queries; {GAPS}: audit gaps")
    return parser.parse_args()


@contextlib.contextmanager
def _home(given: Path | None) -> Iterator[Path]:
    if given:
        given.mkdir(parents=True, exist_ok=True)
        yield given
        return
    with tempfile.TemporaryDirectory() as home:
        yield Path(home)


def _rows(reader: Client, query: Query, window: Window) -> int:
    values = values_from(query, GIVEN.get(query.name, {}), {"timezone": "UTC"}, window.until)
    return len(ask(reader, query, window, LIMIT, values).rows)


def _gaps(reader: Client, window: Window) -> int:
    return len(gaps.find(reader, window).gaps)


def _cost(pid: int, question: Callable[[], int]) -> Cost:
    seconds, cpu, rows = [], [], 0
    for _ in range(TRIES):
        spent, began = _cpu(pid), time.perf_counter()
        rows = question()
        seconds.append(time.perf_counter() - began)
        cpu.append(_cpu(pid) - spent)
    return Cost(statistics.median(seconds), statistics.median(cpu), rows)


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _peak(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    main()
