"""What one decision of the policy engine costs, at 100 to 100,000 rules (1,000,000: --rules 1000000), beside pycasbin.

The policy: roles with some rules each over the paths of services, users with two roles each, some roles
that have another one. Every answer is asserted: allowed requests are made from a rule, denied ones ask
for a method that no rule has. pycasbin answers a few of the same requests, in this process.
"""

from __future__ import annotations

import argparse
import gc
import random
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import casbin
import psutil
from casbin.persist.adapters import StringAdapter

from extauthz.engine import Engine, Source

MODEL = (Path(__file__).parents[1] / "policies" / "model.conf").read_bytes()
IMPLIED = ("role:everyone", "role:authenticated")
SIZES = (100, 1_000, 10_000, 100_000)
MAX_ROLES, MAX_USERS = 10_000, 100_000
REQUESTS = 20_000
# pycasbin needs half a second a decision at 100,000 rules.
REFERENCE_REQUESTS = {100: 100, 1_000: 20, 10_000: 4, 100_000: 1}

Request = tuple[str, str, str, str]


@dataclass(frozen=True)
class Policy:
    """A policy text, and requests that it allows and denies."""

    rules: int
    text: str
    allowed: list[Request]
    denied: list[Request]


def policy_of(rules: int) -> Policy:
    """A policy of that many p rows, always the same."""
    chance = random.Random(rules)
    roles, users = max(10, min(MAX_ROLES, rules // 10)), max(10, min(MAX_USERS, rules))
    lines = ["p, role:everyone, svc0, /health, GET, allow"]
    of_role: dict[int, list[tuple[str, str, str]]] = {}
    for number in range(1, rules):
        role, service = number % roles, f"svc{number % 50}"
        shape = number // roles % 4
        path = f"/{service}/things{number}" + ("", "/:id", "/:id/parts/:part", "/*")[shape]
        method = ("GET", "POST", "PUT", "*")[chance.randrange(4)]
        effect = "deny" if chance.random() < 0.02 else "allow"
        lines.append(f"p, role:r{role}, {service}, {path}, {method}, {effect}")
        if effect == "allow":
            of_role.setdefault(role, []).append((service, path, method))
    lines += [f"g, role:r{role}, role:r{role // 2}" for role in range(1, roles, 7)]
    held = []
    for user in range(users):
        own = chance.sample(range(roles), 2)
        held.append(own)
        lines += [f"g, user{user}, role:r{role}" for role in own]
    allowed: list[Request] = []
    denied: list[Request] = []
    while len(allowed) < REQUESTS:
        user = chance.randrange(users)
        rules_held = of_role.get(held[user][chance.randrange(2)])
        if not rules_held:
            continue
        service, path, method = chance.choice(rules_held)
        path = path.replace(":id", str(chance.randrange(10**6))).replace(":part", "x").replace("*", "a/b")
        allowed.append((f"user{user}", service, path, "GET" if method == "*" else method))
        nearly = (path, "OPTIONS") if method != "*" else (f"/{service}/nothing", "GET")
        denied.append((f"user{user}", service, *nearly))
    return Policy(rules, "\n".join(lines) + "\n", allowed, denied)


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rules", type=int, action="append")
    for rules in parser.parse_args().rules or SIZES:
        policy = policy_of(rules)
        source = Source("model.conf", "policy.csv", MODEL, policy.text.encode())
        gc.collect()
        before = psutil.Process().memory_info().rss
        started = time.perf_counter()
        engine = Engine.from_source(source, ("subject", "service", "resource", "action"))
        took = time.perf_counter() - started
        grown = (psutil.Process().memory_info().rss - before) / 2**20
        print(f"load {rules} rules: {took:.2f} s, {grown:.0f} MiB, mode {engine.mode}")
        for name, requests, right in (("allowed", policy.allowed, True), ("denied", policy.denied, False)):
            median, p99 = measured(engine, requests, right=right)
            print(f"decide {rules} rules, {name}: median {median:.2f} us, p99 {p99:.2f} us")


if __name__ == "__main__":
    main()
