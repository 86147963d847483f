"""What the policy engine costs, beside pycasbin in the same process: decisions, loads, a reload, ill-shaped policies.

The policy: roles with some rules each over the paths of services, users with two roles each, some roles
that have another one. Every answer is asserted: allowed requests are made from a rule, denied ones ask
for a method or a path that no rule of the subject has. pycasbin answers a few of the same requests; it
gets all rules, but of the users only those who ask. `--rules 1000000` asks about one size alone.
"""

from __future__ import annotations

import argparse
import functools
import gc
import logging
import random
import statistics
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import casbin
import psutil
from casbin.persist.adapters import StringAdapter

from extauthz.engine import Engine, Source
from extauthz.pace import considerate, let_go

if TYPE_CHECKING:
    from collections.abc import Callable

MODEL = (Path(__file__).parents[1] / "policies" / "model.conf").read_bytes()
ATTRIBUTES = ("subject", "service", "resource", "action")
IMPLIED = ("role:everyone", "role:authenticated")
SIZES = (100, 1_000, 10_000, 100_000)
MAX_ROLES, MAX_USERS = 10_000, 100_000
REQUESTS = 20_000
# pycasbin needs half a second a decision at 100,000 rules.
REFERENCE_REQUESTS = {100: 100, 1_000: 20, 10_000: 4, 100_000: 1}
STRANGERS = 1_000_000
RELOADS = 5
# Bounds of ill-shaped policies, ten times and more what they take: bounded, whatever else the machine does.
MOST_MEDIAN_US, MOST_FIRST_US = 50, 20_000
MOST_GROWN_KIB = 1024

Request = tuple[str, str, str, str]


@dataclass
class Policy:
    """A policy text, and requests that it allows and denies."""

    rules: list[str]
    links: list[str]
    allowed: list[Request] = field(default_factory=list)
    denied: list[Request] = field(default_factory=list)

    @property
    def source(self) -> Source:
        return Source("model.conf", "policy.csv", MODEL, "\n".join((*self.rules, *self.links, "")).encode())


def policy_of(rules: int) -> Policy:
    """A policy of that many p rows, always the same."""
    chance = random.Random(rules)
    roles, users = max(10, min(MAX_ROLES, rules // 10)), max(10, min(MAX_USERS, rules))
    made = Policy(["p, role:everyone, svc0, /health, GET, allow"], [])
    of_role: dict[int, list[tuple[str, str, str]]] = {}
    for number in range(1, rules):
        role, service = number % roles, f"svc{number % 50}"
        shape = ("", "/:id", "/:id/parts/:part", "/*")[number // roles % 4]
        path, method = f"/{service}/things{number}{shape}", ("GET", "POST", "PUT", "*")[chance.randrange(4)]
        effect = "deny" if chance.random() < 0.02 else "allow"
        made.rules.append(f"p, role:r{role}, {service}, {path}, {method}, {effect}")
        if effect == "allow":
            of_role.setdefault(role, []).append((service, path, method))
    made.links += [f"g, role:r{role}, role:r{role // 2}" for role in range(1, roles, 7)]
    held = [chance.sample(range(roles), 2) for _ in range(users)]
    made.links += [f"g, user{user}, role:r{role}" for user, own in enumerate(held) for role in own]
    while len(made.allowed) < REQUESTS:
        user = chance.randrange(users)
        service, path, method = chance.choice(of_role.get(held[user][chance.randrange(2)]) or [("", "", "")])
        if path:
            path = path.replace(":id", str(chance.randrange(10**6))).replace(":part", "x").replace("*", "a/b")
            made.allowed.append((f"user{user}", service, path, "GET" if method == "*" else method))
            nearly = (path, "OPTIONS") if method != "*" else (f"/{service}/nothing", "GET")
            made.denied.append((f"user{user}", service, *nearly))
    return made


def measured(engine: Engine, requests: list[Request], *, right: bool) -> tuple[float, float]:
    """Median and 99th percentile in microseconds."""
    enforce, clock = engine.enforce, time.perf_counter_ns
    took = []
    wrong = 0
    for request in requests:
        # New texts, as they come off the wire.
        values = [f"{value} "[:-1] for value in request]
        started = clock()
        verdict = enforce(*values, roles=IMPLIED)
        took.append(clock() - started)
        wrong += verdict.allowed is not right
    assert not wrong, f"{wrong} wrong answers"
    took.sort()
    return statistics.median(took) / 1000, took[len(took) * 99 // 100] / 1000


def of_pycasbin(policy: Policy, requests: list[Request], *, right: bool) -> float:
    """Its mean in microseconds."""
    users = {request[0] for request in requests}
    links = [row for row in policy.links if row.startswith("g, role:") or row.split(", ")[1] in users]
    links += [f"g, {user}, {role}" for user in users for role in IMPLIED]
    model = casbin.Enforcer.new_model(text=MODEL.decode())
    enforcer = casbin.Enforcer(model, StringAdapter("\n".join((*policy.rules, *links))))
    started = time.perf_counter()
    answers = [enforcer.enforce(*request) for request in requests]
    took = time.perf_counter() - started
    assert answers == [right] * len(requests)
    return took / len(requests) * 1e6


def loaded(source: Source) -> tuple[Engine, str]:
    """An engine, and what it cost in words."""
    gc.collect()
    before = psutil.Process().memory_info().rss
    started, of_cpu = time.perf_counter(), time.process_time()
    with considerate():
        engine = Engine.from_source(source, ATTRIBUTES)
    took, of_cpu = time.perf_counter() - started, time.process_time() - of_cpu
    assert engine.mode == "indexed"
    kept = (psutil.Process().memory_info().rss - before) / 2**20
    return engine, f"{took:.2f} s ({of_cpu:.2f} s of CPU), {kept:.0f} MiB"


def sizes(all_rules: list[int]) -> None:
    for rules in all_rules:
        policy = policy_of(rules)
        engine, cost = loaded(policy.source)
        rows = len(policy.rules) + len(policy.links)
        print(f"load {rules} rules ({rows} rows): {cost}")
        for name, requests, right in (("allowed", policy.allowed, True), ("denied", policy.denied, False)):
            median, p99 = measured(engine, requests, right=right)
            line = f"decide {rules} rules, {name}: median {median:.1f} us, p99 {p99:.1f} us"
            few = REFERENCE_REQUESTS.get(rules)
            if few:
                theirs = of_pycasbin(policy, requests[:few], right=right)
                line += f"; pycasbin {theirs:.0f} us, {theirs / median:.0f} times as much"
            print(line)


def reload_beside_decisions(rules: int) -> None:
    """A thousand decisions a second, each due at its moment, while another policy of that size is built.

    A thread that only counts shows what of the waiting is this machine's and Python's, and no reload's.
    """
    policy = policy_of(rules)
    current = [Engine.from_source(policy.source, ATTRIBUTES)]
    names = ["nothing"] * 2 + ["a thread that counts"] * 3 + ["a reload"] * RELOADS
    p99s: dict[str, list[float]] = {}
    for number, name in enumerate(names):
        done = threading.Event()
        until = time.perf_counter() + (60.0 if name == "a reload" else 2.0)
        work: dict[str, Callable[[], None]] = {
            "a reload": functools.partial(reloaded, policy, current, number),
            "a thread that counts": functools.partial(counted, until),
        }
        threads = [threading.Thread(target=ended, args=(work[name], done))] if name in work else []
        for thread in threads:
            thread.start()
        waited = sorted(decided(policy, current, until, done))
        for thread in threads:
            thread.join()
        p99s.setdefault(name, []).append(waited[len(waited) * 99 // 100])
        print(
            f"beside {name}: median {statistics.median(waited):.2f} ms, p99 {p99s[name][-1]:.2f} ms, "
            f"worst {waited[-1]:.1f} ms of {len(waited)} decisions"
        )
    for name, found in p99s.items():
        print(f"beside {name}, {rules} rules: median of {len(found)} p99s {statistics.median(found):.2f} ms")


def reloaded(policy: Policy, current: list[Engine], number: int) -> None:
    more = f"p, zoe, svc1, /zoe{number}, GET, allow\n".encode()
    other = Source("model.conf", "policy.csv", MODEL, policy.source.policy + more)
    with considerate():
        engine = Engine.from_source(other, ATTRIBUTES)
    old, current[0] = [current[0]], engine
    let_go(old)


def counted(until: float) -> None:
    with considerate():
        while time.perf_counter() < until:
            sum(range(1_000))


def ended(work: Callable[[], None], done: threading.Event) -> None:
    work()
    done.set()


def decided(policy: Policy, current: list[Engine], until: float, done: threading.Event) -> list[float]:
    """How late each answer was, in milliseconds from the moment at which its question was due."""
    waited: list[float] = []
    due = time.perf_counter()
    while time.perf_counter() < until and not done.is_set():
        due += 0.001
        early = due - time.perf_counter()
        if early > 0:
            time.sleep(early)
        request = policy.allowed[len(waited) % REQUESTS]
        assert current[0].enforce(*request, roles=IMPLIED).allowed
        waited.append((time.perf_counter() - due) * 1000)
    return waited


def shaped(name: str, rows: list[str], request: Request, *, right: bool, line: int | None = None) -> None:
    """One ill-shaped policy: the first decision, and the median of the others, both bounded.

    `line`: of the rule that has to decide.
    """
    engine, cost = loaded(Source("m", "p", MODEL, "\n".join(rows).encode()))
    times = []
    for _ in range(200):
        started = time.perf_counter()
        verdict = engine.enforce(*request)
        times.append((time.perf_counter() - started) * 1e6)
        assert (verdict.allowed, verdict.line) == (right, line)
    median, first = statistics.median(times), times[0]
    print(f"{name}: median {median:.1f} us, first {first:.0f} us; load {cost}")
    assert median <= MOST_MEDIAN_US, f"{name}: {median:.1f} us"
    assert first <= MOST_FIRST_US, f"{name}: the first takes {first:.0f} us"


def ill_shaped(count: int) -> None:
    asked: Request = ("alice", "s", "/1/x77/2", "GET")
    first = [f"p, alice, s, /:a/x{i}/:b, GET, allow" for i in range(count)]
    shaped(f"{count} paths that begin /:a/", first, asked, right=True, line=78)
    shaped(f"{count} paths that begin /:a/, denied", first, ("alice", "s", "/1/x/2", "GET"), right=False)
    stars = [f"p, alice, s, /*/x{i}/*, GET, allow" for i in range(count)]
    shaped(f"{count} paths that begin /*/", stars, ("alice", "s", "/1/2/x77/2", "GET"), right=True, line=78)
    role = [f"p, role:a, s, /t{i}/:id, GET, allow" for i in range(count)] + ["g, alice, role:a"]
    shaped(f"one role with {count} paths", role, ("alice", "s", "/t77/1", "GET"), right=True, line=78)
    shaped(f"one role with {count} paths, denied", role, ("alice", "s", "/t/1", "GET"), right=False)
    many = [f"p, role:r{i % 10_000}, s, /t{i}/:id, GET, allow" for i in range(count)]
    many += [f"g, alice, role:r{i}" for i in range(10_000)]
    shaped("a user with 10,000 roles", many, ("alice", "s", "/t77/1", "GET"), right=True, line=78)
    shaped("a user with 10,000 roles, denied", many, ("alice", "s", "/t/1", "GET"), right=False)
    path = "/1" + "/x" * 32_767
    assert len(path) == 64 * 1024
    shaped("a path of 64 KiB, denied", first, ("alice", "s", path, "GET"), right=False)
    below = [*first, "p, alice, s, /1/*, GET, allow"]
    shaped("a path of 64 KiB, allowed", below, ("alice", "s", path, "GET"), right=True, line=count + 1)
    blow = ["p, alice, s, " + "/*/b" * 12 + "/end, GET, allow"]
    shaped("12 stars against 2,000 segments, denied", blow, ("alice", "s", "/b" * 2_000, "GET"), right=False)


def strangers() -> None:
    engine = Engine.from_source(policy_of(1_000).source, ATTRIBUTES)
    for number in range(STRANGERS // 50):
        engine.enforce(f"warm-{number}", "svc1", f"/svc1/{number}", "GET", roles=(f"role:w{number}",))
    before = psutil.Process().memory_info().rss
    for number in range(STRANGERS):
        assert not engine.enforce(
            f"zoe{number}", "svc1", f"/svc1/{number}", "GET", roles=(f"role:x{number}",)
        ).allowed
    grown = (psutil.Process().memory_info().rss - before) / 1024
    print(f"{STRANGERS} unknown subjects, paths and roles: {grown:.0f} KiB more memory")
    assert grown <= MOST_GROWN_KIB


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rules", type=int, action="append", help="ask about this size alone")
    parser.add_argument("--reload", action="store_true", help="ask about a reload alone")
    logging.disable(logging.CRITICAL)
    asked = parser.parse_args()
    if not asked.reload:
        sizes(asked.rules or list(SIZES))
    if not asked.reload and not asked.rules:
        ill_shaped(100_000)
        strangers()
    if not asked.rules:
        reload_beside_decisions(100_000)


if __name__ == "__main__":
    main()
