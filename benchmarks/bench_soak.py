"""Hours of Checks and connections, and whether the server is as large at the end as it was at the beginning.

A whole extauthz (journal, metrics, a policy that is replaced every so often) over a unix socket. Checks come at full
speed on connections that stay, and beside them connections come and go, well-behaved ones and others. Every answer
is compared with what the policy in force says. Memory and open files are sampled; the exit code is 1 where they
grew, where an answer was wrong, or where decisions are missing from the journal uncounted. `make soak` takes an hour.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from check_load import Asked, Client, envoy_check
from soak_connections import visits
from soak_server import SoakServer
from soak_verdict import MIB, Sample, judged

if TYPE_CHECKING:
    from collections.abc import Iterator

RULES = 1_000
# These rules allow in one version of the policy, and deny in the other.
TURNING = 7
# One of so many Checks asks for a method that no rule has.
DENIED = 5
# A round: Checks on a connection that stays, then one or more connections that do not.
ROUND = 4_000
CLIENTS = 4
IN_FLIGHT = (32, 1, 200, 8)


def policy(version: int) -> str:
    """A policy of so many rules; the next version's is another."""
    rows = [f"# {version}"]
    for number in range(RULES):
        effect = "deny" if number % TURNING == 0 and version % 2 else "allow"
        rows.append(f"p, user{number}, svc{number % 50}, /svc{number % 50}/things{number}/:id, GET, {effect}")
    return "\n".join(rows) + "\n"


def questions(version: int | None) -> list[Asked]:
    """A Check of each rule, and its answer by that version; without one those that all versions answer alike."""
    made = []
    for number in range(RULES):
        if version is None and number % TURNING == 0:
            continue
        method, reason = ("PUT", "no_matching_rule") if number % DENIED == 0 else ("GET", "rule_allow")
        if method == "GET" and number % TURNING == 0 and version is not None and version % 2:
            reason = "rule_deny"
        service, path = f"svc{number % 50}", f"/svc{number % 50}/things{number}/{number * 7919}"
        message = envoy_check(f"user{number}", service, path, method, number)
        made.append(Asked(message, _value(reason), _value(path)))
    return made


def _value(text: str) -> bytes:
    """A google.protobuf.Value of a text: nothing longer or shorter looks like it."""
    return b"\x1a" + bytes((len(text),)) + text.encode()


@dataclass
class Soak:
    """A run: what was asked so far, and what was seen."""

    server: SoakServer
    reload_seconds: float
    checks: int = 0
    connections: int = 0
    reloads: int = 0
    samples: list[Sample] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    _version: int = 0
    _before: str = ""
    _reloaded_at: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        address = self.server.address
        self._stable = questions(None)
        self._clients = {
            kind: itertools.cycle([Client(address, asked) for _ in range(CLIENTS)])
            for kind, asked in ((None, self._stable), (0, questions(0)), (1, questions(1)))
        }
        self.connections += 3 * CLIENTS
        # Each has asked once.
        self.checks += 3 * CLIENTS
        self._in_flight = itertools.cycle(IN_FLIGHT)
        self._visits: Iterator[int] = visits(address, self._stable)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def round(self, visitors: int) -> None:
        """Some thousand Checks, some connections, and a look at the policy."""
        client = next(self._clients[None if self._before else self._version % 2])
        in_flight = next(self._in_flight)
        self.checks += len(client.closed_loop(ROUND if in_flight > 1 else ROUND // 8, in_flight).latencies)
        for _ in range(visitors):
            self.checks += next(self._visits)
            self.connections += 1
        self._reload()

    def sample(self) -> Sample:
        self.server.carry_away()
        assert self.server.answered() >= self.checks
        taken = Sample(self.seconds, self.checks, self.server.resident(), self.server.open_files())
        self.samples.append(taken)
        return taken

    def _reload(self) -> None:
        """Replace the policy when it is time. Until the other one decides, only what both answer alike is asked."""
        now = time.monotonic()
        if self._before:
            if self.server.version != self._before:
                self._before, self._version = "", self._version + 1
                self.reloads += 1
            else:
                assert now - self._reloaded_at < 60, "a policy was not taken within a minute"
        elif now - self._reloaded_at > self.reload_seconds:
            self._before, self._reloaded_at = self.server.version, now
            self.server.put(policy(self._version + 1))


def run(soak: Soak, seconds: float, checks: int, connections: int, every: float) -> None:
    """Until all three are reached; a line each minute."""
    visitors = max(1, -(-connections * ROUND // checks)) if checks else 1
    told, due = Sample(0.0, 0, 0, 0), 0.0
    while soak.seconds < seconds or soak.checks < checks or soak.connections < connections:
        soak.round(visitors)
        if soak.seconds >= due:
            taken, due = soak.sample(), soak.seconds + every
            if taken.seconds - told.seconds >= 60:
                tell(soak, told, taken)
                told = taken


def tell(soak: Soak, before: Sample, now: Sample) -> None:
    rate = (now.checks - before.checks) / (now.seconds - before.seconds)
    print(
        f"{now.seconds / 60:5.1f} min: {now.checks:,} Checks ({rate:,.0f}/s), {soak.connections:,} connections, "
        f"{soak.reloads} policies, RSS {now.resident / MIB:.1f} MiB, {now.files} open files",
        flush=True,
    )


def ended(soak: Soak, cpu: float) -> bool:
    """Stop the server; whether all was well."""
    verdict = judged(soak.samples)
    # Those whose clients had gone are among them.
    answered = soak.server.answered()
    last = soak.server.stop()
    missing, wrongs = max(0, answered - last["decisions"] - last["dropped"]), soak.server.wrongs()
    print(
        f"{soak.checks:,} Checks answered rightly in {soak.seconds:,.0f} s, {soak.connections:,} connections, "
        f"{soak.reloads} policies, {cpu / soak.checks * 1e6:.1f} µs of the server's CPU a Check; "
        f"{last['decisions']:,} decisions journalled, {last['dropped']:,} dropped and counted, {missing} missing"
    )
    for line in wrongs[:5]:
        print(f"its log: {line}")
    print(verdict)
    return verdict.flat and not missing and not wrongs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="at least so long")
    parser.add_argument("--checks", type=int, default=0, help="at least so many Checks")
    parser.add_argument("--connections", type=int, default=0, help="at least so many connections")
    parser.add_argument("--reload-seconds", type=float, default=15.0, help="time between two policies")
    parser.add_argument("--sample-seconds", type=float, default=2.0, help="time between two samples")
    parser.add_argument("--transport", default="fast", choices=("fast", "grpcio"))
    arguments = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="gateledger-"))
    server = SoakServer(home, arguments.transport, policy(0))
    try:
        soak = Soak(server, arguments.reload_seconds)
        before = server.cpu_seconds()
        run(soak, arguments.seconds, arguments.checks, arguments.connections, arguments.sample_seconds)
        fine = ended(soak, server.cpu_seconds() - before)
    except ValueError as error:
        sys.exit(f"no verdict: {error}")
    finally:
        server.kill()
        shutil.rmtree(home)
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()
