"""The whole corpus, sent once: each case with what its client saw, its rows, and what reached the upstream."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from hostile_client import Reply, talk
from hostile_corpus import Case, Corpus
from hostile_stack import HostileStack
from hostile_tokens import tokens
from recording_upstream import Seen

AT_A_TIME = 8


@dataclass(frozen=True)
class Result:
    """One case and all that it left."""

    case: Case
    reply: Reply
    rows: Sequence[Mapping[str, Any]]
    seen: Sequence[Seen]


@dataclass(frozen=True)
class Run:
    """All results by the case's name. `strangers` are rows and requests that no case accounts for.

    `ended` is how many requests Envoy says that it ended, `recorded` how many rows tell of an end.
    """

    results: Mapping[str, Result]
    tokens: Mapping[str, str]
    strangers: Sequence[object]
    ended: int
    recorded: int


def run(hostile: HostileStack) -> Run:
    texts = tokens(hostile.issuer)
    cases = Corpus(texts).cases()
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        replies = list(pool.map(lambda case: talk(hostile.address, case), cases))
    hostile.settled()
    counted = hostile.counters(r"^http\.gate\.downstream_rq_(total|active)$")
    ended = counted["http.gate.downstream_rq_total"] - counted["http.gate.downstream_rq_active"]
    recorded = len(hostile.stack.rows("is_end AND network_protocol != 'tcp'"))
    rows: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in hostile.stack.rows("user_agent_original != 'last'"):
        rows[str(row["client_direct_address"].ipv4_mapped)].append(row)
    seen: dict[str, list[Seen]] = defaultdict(list)
    for request in hostile.upstream.seen:
        if request.value("user-agent") != "last":
            seen[request.client].append(request)
    results = {
        case.name: Result(
            case, reply, sorted(rows.pop(case.source, []), key=_order), seen.pop(case.source, [])
        )
        for case, reply in zip(cases, replies, strict=True)
    }
    return Run(results, texts, [*rows.values(), *seen.values(), *hostile.upstream.noise], ended, recorded)


def _order(row: Mapping[str, Any]) -> tuple[object, ...]:
    # Both rows of a tunnel have its start as their time.
    return row["time"], row["batch"], row["batch_row"]
