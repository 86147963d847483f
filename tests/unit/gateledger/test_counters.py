from __future__ import annotations

import json

from gateledger.stack.counters import ALWAYS, Reading, counters_in

STATS = """\
access_logs.grpc_access_log.logs_dropped: 0
access_logs.grpc_access_log.logs_written: 7
http.admin.downstream_rq_completed: 90
http.async-client.ext_authz.ok: 90
http.gate.downstream_rq_active: 1
http.gate.downstream_rq_completed: 6
http.gate.ext_authz.ok: 5
http.gate.downstream_rq_time: No recorded values
"""


def test_what_envoy_answered_logged_and_asked_is_kept_its_own_calls_are_not() -> None:
    assert counters_in(STATS) == {
        ALWAYS: 7,
        "http.gate.downstream_rq_active": 1,
        "http.gate.downstream_rq_completed": 6,
        "http.gate.ext_authz.ok": 5,
    }


def test_a_reading_is_never_empty() -> None:
    assert {ALWAYS: 0} == counters_in("")


def test_a_reading_is_a_record_that_names_node_and_times() -> None:
    origin, payload = Reading("edge", 1_000, 2_000_000_000, {"a": 1}).record

    assert json.loads(origin) == {
        "kind": "counters",
        "node": "edge",
        "started_at": 1_000,
        "received_at": 2_000_000_000,
    }
    assert json.loads(payload) == {"a": 1}
