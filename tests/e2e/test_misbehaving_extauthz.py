"""A decision point that answers late, wrong or not at all, and an Envoy without room: always a refusal, always a row."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fake_extauthz import FakeExtAuthz, Mood
from hostile_stack import HostileStack, hostile_stack, replaced
from stack_process import eventually

PRESSURE = """\
    - name: envoy.resource_monitors.injected_resource
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.resource_monitors.injected_resource.v3.InjectedResourceConfig
        filename: FILE
"""
STOPPED = "overload.envoy.overload_actions.stop_accepting_requests.active"
HEALTHY = "cluster.extauthz.membership_healthy"


@dataclass
class Told:
    """Of each request: the client's status, what Envoy counted, whether it got through; and its row, at the end."""

    statuses: dict[str, int] = field(default_factory=dict)
    counted: dict[str, dict[str, int]] = field(default_factory=dict)
    through: dict[str, int] = field(default_factory=dict)
    rows: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def ask(self, stack: HostileStack, name: str) -> None:
        pattern = r"^http\.gate\.(ext_authz\.|rbac\.|downstream_rq_overload_close)"
        seen, before = len(stack.upstream.seen), stack.counters(pattern)
        token = stack.token("alice", "customer")
        self.statuses[name] = stack.stack.ask("/orders/1", token=token, headers={"user-agent": name}).status
        after = stack.counters(pattern)
        self.counted[name] = {
            key.removeprefix("http.gate."): value - before.get(key, 0)
            for key, value in after.items()
            if value != before.get(key, 0)
        }
        self.through[name] = len(stack.upstream.seen) - seen


def bootstrap(socket: Path, pressure: Path) -> Callable[[str], str]:
    """The shipped bootstrap that asks the fake, and takes its memory's use from a file."""

    def adapt(text: str) -> str:
        endpoint = [{"endpoint": {"address": {"pipe": {"path": str(socket)}}}}]
        text = replaced(text, "${extauthz_endpoints}", json.dumps(endpoint))
        start, end = (
            text.index("    - name: envoy.resource_monitors.fixed_heap\n"),
            text.index("  actions:\n"),
        )
        monitor = PRESSURE.replace("FILE", json.dumps(str(pressure)))
        actions = text[end:].replace("resource_monitors.fixed_heap", "resource_monitors.injected_resource")
        return text[:start] + monitor + actions

    return adapt


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    base = tmp_path_factory.mktemp("gl")
    pressure = base / "pressure"
    pressure.write_text("0")
    told = Told()
    with (
        FakeExtAuthz(base / "fake.sock") as fake,
        hostile_stack(base, bootstrap(base / "fake.sock", pressure)) as stack,
    ):
        for mood in Mood:
            fake.mood = mood
            told.ask(stack, mood.name)
        _press(pressure, "1")
        eventually(lambda: stack.counters(STOPPED).get(STOPPED), "Envoy is overloaded")
        told.ask(stack, "OVERLOADED")
        _press(pressure, "0")
        eventually(lambda: not stack.counters(STOPPED)[STOPPED], "Envoy has room again")
        fake.stop()
        eventually(lambda: not stack.counters(f"^{HEALTHY}$")[HEALTHY], "Envoy knows that extauthz is down")
        told.ask(stack, "DOWN")
        stack.settled()
        told.rows = {row["user_agent_original"]: row for row in stack.stack.rows()}
        yield told


def _press(file: Path, value: str) -> None:
    # Envoy watches for a file that is moved into place.
    beside = file.with_suffix(".new")
    beside.write_text(value)
    beside.rename(file)


UNREACHABLE = (503, "error", "authz_timeout_or_unreachable", "ext_authz_error", {"ext_authz.error": 1})
INVALID = (500, "error", "authz_invalid_response", "ext_authz_invalid", {"ext_authz.invalid": 1})
REFUSED = (403, "not_evaluated", "not_evaluated", "ext_authz_denied", {"ext_authz.denied": 1})
LOCKED = ("rbac_access_denied_matched_policy[none]", {"ext_authz.ok": 1, "rbac.denied": 1})
CASES = [
    pytest.param("DOWN", UNREACHABLE, id="down"),
    pytest.param("SLOW", UNREACHABLE, id="slow"),
    pytest.param("ABORT", UNREACHABLE, id="an RPC error"),
    pytest.param("CANCEL", UNREACHABLE, id="no answer"),
    pytest.param("GARBAGE", UNREACHABLE, id="garbage"),
    pytest.param("BAD_HEADER", INVALID, id="a header that cannot be set"),
    pytest.param(
        "HUGE_HEADER",
        (*INVALID[:4], {"ext_authz.invalid": 1, "ext_authz.request_header_limits_reached": 1}),
        id="an oversized header",
    ),
    pytest.param("HUGE_BODY", REFUSED, id="an oversized body"),
    # A denial without our metadata is nobody's decision that the ledger knows.
    pytest.param("DENY", REFUSED, id="a denial of somebody else"),
    pytest.param("BARE_STATUS", REFUSED, id="a status and nothing else"),
    pytest.param("EMPTY", (403, "not_evaluated", "not_evaluated", *LOCKED), id="an empty answer"),
    pytest.param("SAYS_DENY", (403, "deny", "", *LOCKED), id="an allowance that says deny"),
    pytest.param(
        "SAYS_MORE", (403, "not_evaluated", "not_evaluated", *LOCKED), id="an allowance that says a list"
    ),
    pytest.param(
        "OVERLOADED",
        (503, "not_evaluated", "not_evaluated", "overload", {"downstream_rq_overload_close": 1}),
        id="an overloaded Envoy",
    ),
]


def test_each_case_is_asked_about() -> None:
    assert {case.values[0] for case in CASES} == {"DOWN", "OVERLOADED", *(mood.name for mood in Mood)}


@pytest.mark.parametrize(("name", "expected"), CASES)
def test_whatever_goes_wrong_the_client_is_refused_and_the_row_says_why(
    told: Told, name: str, expected: tuple[object, ...]
) -> None:
    row = told.rows[name]
    found = (told.statuses[name], row["decision"], row["reason_code"], row["response_code_details"])

    assert (*found, told.counted[name]) == expected
    assert row["http_response_status_code"] == told.statuses[name]
    assert told.through[name] == 0
    assert row["upstream_address"] == ""
