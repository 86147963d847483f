"""The servers of Checks alone, asked by public load generators (h2load, ghz) as far as they are on PATH.

Their rates are more than our own client's where they cost less than it, in Python (bench_check.py); but they ask the
same Check each time, and h2load looks at nothing but HTTP's status.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from pathlib import Path

from bench_check import TRANSPORTS, full, noop, world
from generators import available

FETCH = "apt-get install nghttp2-client, or go install github.com/bojand/ghz/cmd/ghz@v0.93.0"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rules", type=int, default=1_000, help="rules of the policy of full work")
    parser.add_argument("--count", type=int, default=40_000, help="Checks of a run with the fast transport")
    parser.add_argument("--transports", nargs="*", default=TRANSPORTS)
    arguments = parser.parse_args()
    generators = available()
    if not generators:
        print(f"neither h2load nor ghz is on PATH ({FETCH}); bench_check.py has a client of its own")
        return
    with tempfile.TemporaryDirectory(prefix="gateledger-") as home, contextlib.ExitStack() as stack:
        policy, message = Path(home) / "policy.csv", Path(home) / "check"
        text, asked = world(arguments.rules)
        policy.write_bytes(text)
        message.write_bytes(asked[1].message)
        for transport in arguments.transports:
            servers = {
                "no-op": stack.enter_context(noop(transport)),
                f"full work, {arguments.rules} rules": stack.enter_context(full(transport, policy)),
            }
            count = arguments.count // (1 if transport == "fast" else 8)
            for what, (process, address) in servers.items():
                for name, ask in generators.items():
                    for streams in (32, 1):
                        asks = count // (1 if streams > 1 else 5)
                        ask(address, message, asks // 4, streams)
                        before = sum(process.cpu_times()[:2])
                        load = ask(address, message, asks, streams)
                        cpu = (sum(process.cpu_times()[:2]) - before) / asks * 1e6
                        print(
                            f"{what}, {transport}, {name}, {streams} in flight: {load.per_second:,.0f} Checks/s, "
                            f"p50 {load.p50:.2f} ms, p99 {load.p99:.2f} ms, {cpu:.1f} µs of the server's CPU a Check",
                            flush=True,
                        )


if __name__ == "__main__":
    main()
