"""The corpus of tests/e2e/hostile through the real Envoy: what each client sees, what stays, what gets through.

Each case comes from a loopback address of its own: by it rows and upstream know the case, whatever it sends.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
from hostile_corpus import Corpus
from hostile_run import Result, Run
from upstream_readers import READERS

from access import readings, split
from extauthz.engine import Engine
from gateledger.assets import asset

NAMES = [case.name for case in Corpus({}).cases()]
# All that may reach an upstream besides what a client is free to say.
OF_THE_GATE = {
    *("host", ":authority", ":method", ":path", ":scheme"),
    *("x-subject", "x-roles", "x-decision-id", "x-request-id"),
    *("x-forwarded-for", "x-forwarded-proto", "x-envoy-external-address", "x-envoy-expected-rq-timeout-ms"),
    *("content-length", "transfer-encoding"),
}
OF_THE_CLIENT = {
    *("user-agent", "cookie", "te", "expect", "content-type", "traceparent", "x-a", "x-other"),
    *("connection", "upgrade", "sec-websocket-version", "sec-websocket-key"),
}


def through(done: Run) -> list[Result]:
    """The cases of which something reached the upstream."""
    return [result for result in done.results.values() if result.seen]


def test_the_corpus_has_at_least_three_hundred_cases_of_both_protocols() -> None:
    cases = Corpus({}).cases()

    assert len(cases) >= 300
    assert len({case.name for case in cases}) == len(cases)
    assert sum(case.http2 for case in cases) >= 80


@pytest.mark.parametrize("name", NAMES)
def test_a_case_gets_its_status_and_leaves_the_rows_that_it_names(done: Run, name: str) -> None:
    result = done.results[name]
    named = [
        {column: row[column] for column in wanted}
        for row, wanted in zip(result.rows, result.case.rows, strict=False)
    ]

    assert list(result.case.statuses) == result.reply.statuses
    assert list(result.case.rows) == named, result.rows
    assert len(result.case.rows) == len(result.rows), result.rows
    assert sorted(result.case.upstream) == sorted(f"{seen.method} {seen.target}" for seen in result.seen)


def test_every_row_has_the_status_that_its_client_saw(done: Run) -> None:
    for name, result in done.results.items():
        ends = [row for row in result.rows if row["entry_type"] == "DownstreamEnd"]
        answered = [row["http_response_status_code"] for row in ends if row["http_response_status_code"]]

        assert sorted(answered) == sorted(result.reply.statuses), name


def test_nothing_is_there_that_no_case_accounts_for(done: Run) -> None:
    assert not done.strangers


def test_nothing_reaches_an_upstream_path_that_the_policy_did_not_allow(done: Run) -> None:
    """Asked anew, of each path as each framework reads it, and of the subject that the token names."""
    engine = Engine.from_files(asset("policies/model.conf"), asset("policies/policy.csv"))
    for result in through(done):
        claims = _claims(done, result.case.token)
        for seen in result.seen:
            row = _row_of(result, seen.value("x-decision-id"))
            anonymous = row["auth_method"] == "none"
            subject = "anonymous" if anonymous else claims["sub"]
            roles = claims["roles"] if isinstance(claims.get("roles"), list) else [claims.get("roles", "")]
            asserted = (
                ("role:everyone",) if anonymous else ("role:everyone", *(f"role:{role}" for role in roles))
            )
            for framework, reader in READERS.items():
                path = "/" + "/".join(reader(seen.target))
                verdict = engine.enforce(subject, row["service"], path, seen.method, roles=asserted)

                assert verdict.allowed, (result.case.name, framework, path)
            assert row["decision"] == "allow"
            assert row["url_path"] == split(seen.target).path
            assert row["subject"] == subject


def test_each_framework_reads_what_the_policy_saw(done: Run) -> None:
    for result in through(done):
        for seen in result.seen:
            saw = _row_of(result, seen.value("x-decision-id"))["url_path"]
            meant = {READERS["rfc_3986"](reading) for reading in readings(saw)}

            assert {reader(seen.target) for reader in READERS.values()} <= meant, result.case.name


def test_the_upstream_learns_of_the_client_from_the_gate_alone(done: Run) -> None:
    for result in through(done):
        for seen in result.seen:
            row = _row_of(result, seen.value("x-decision-id"))
            where = result.case.name

            assert {name.decode() for name, _ in seen.headers} <= OF_THE_GATE | OF_THE_CLIENT, where
            assert not seen.trailers, where
            assert [seen.value("host"), seen.value(":authority")].count("") == 1, where
            assert (seen.value("host") or seen.value(":authority")) == row["server_address"], where
            assert seen.value("x-subject").encode("latin-1").decode() == row["subject"], where
            assert [role for role in seen.value("x-roles").split(",") if role] == row["subject_roles"], where
            assert seen.value("x-forwarded-for") == result.case.source, where
            assert seen.value("x-envoy-external-address") == result.case.source, where
            assert seen.value("x-forwarded-proto") == "http", where
            assert seen.value("x-request-id") == row["request_id"], where
            assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", row["request_id"]), where
            assert seen.value("connection").lower() in ("", "upgrade"), where


def test_no_header_stands_twice_before_the_upstream(done: Run) -> None:
    for result in through(done):
        for seen in result.seen:
            names = [name for name, _ in seen.headers]

            assert len(set(names)) == len(names), result.case.name


def test_every_refusal_of_extauthz_has_one_form(done: Run) -> None:
    for name, result in done.results.items():
        # What a HEAD is answered with has no body.
        for row, body in zip(result.rows, result.reply.bodies, strict=False):
            if row["decision"] == "deny" and body:
                problem = json.loads(body)

                assert problem["decision_id"] == row["decision_id"], name
                assert problem["reason_code"] == row["reason_code"], name
                assert row["policy_version"] not in body.decode(), name


def test_envoys_earliest_refusals_name_their_row_by_its_time(done: Run) -> None:
    result = done.results["smuggling: length and chunks"]
    problem = json.loads(result.reply.bodies[0])

    assert problem["request_id"] is None
    assert problem["time"][:26] == str(result.rows[0]["time"])[:26]


def test_a_tunnel_carries_bytes_and_only_bytes(done: Run) -> None:
    for name in ("methods: WebSocket", "methods: WebSocket with a request behind it"):
        result = done.results[name]

        assert result.reply.echo == result.case.then
        assert len(result.seen) == 1


def test_a_client_that_waits_for_a_continue_gets_it_from_a_request_that_may_pass(done: Run) -> None:
    passed, refused = done.results["smuggling: 100-continue"], done.results["smuggling: 100-continue refused"]

    assert passed.reply.interim == [100]
    assert passed.seen[0].body == b"hello"
    assert not refused.seen


def _row_of(result: Result, decision_id: str) -> Mapping[str, Any]:
    return next(row for row in result.rows if row["decision_id"] == decision_id)


def _claims(done: Run, token: str) -> dict[str, Any]:
    if token == "anonymous":
        return {}
    payload = done.tokens[token].split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def test_envoy_counts_each_end_that_the_ledger_records(done: Run) -> None:
    """On this `audit gaps` rests: malformed requests and clients that leave before an answer are counted too."""
    assert done.ended == done.recorded > len(done.results) / 2
