"""Nothing is lost that need not be, and what is lost is told: the real Envoy, the real processes, real kills.

A kill may meet alslog with something in its hands, whatever a test does. So each test holds the law that holds
in every outcome (what was sent is stored, or told to be missing), and the claims about a quiet moment are made
of kills that met one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator

import clickhouse_connect
import pytest
from stack_process import OTHER_TRANSPORT, StackProcess, eventually
from witnesses import (
    WATCHED,
    Period,
    QuietKill,
    Told,
    again,
    broken_streams,
    counters,
    kill,
    last_reading,
    load,
    settle,
)

# A quiet moment is one between two flushes. With 20 ms from one to the next, the default, a kill under load would
# seldom meet one, and Envoy would seldom be killed before it has flushed what a test has asked.
SLOW_FLUSHES = {**WATCHED, "GATELEDGER_ENVOY__FLUSH_SECONDS": "0.25"}
# Of so many kills one meets a quiet moment.
KILLS = 12


@pytest.fixture(scope="module")
def witnessed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    """A stack whose counters are read often and which flushes seldom; these tests may hurt it."""
    with StackProcess(tmp_path_factory.mktemp("gl") / "home", SLOW_FLUSHES) as running:
        yield running


def told_of(period: Period, sent: int) -> tuple[int, Told]:
    """How many of the sent are not stored, and what `audit gaps` says: the same, or the law is broken."""
    sent += period.settle()
    lost = sent - period.stored()
    told = period.told()
    assert told.missing == ({"decision_without_record": lost, "counters_disagree": lost} if lost else {}), (
        lost,
        told,
    )
    return lost, told


def lost_by_a_quiet_kill(stack: StackProcess, ask: Callable[[QuietKill], int]) -> int:
    """How many were lost by a kill of alslog that met a moment in which it had nothing in its hands."""
    for _ in range(KILLS):
        quiet_kill = QuietKill(stack)
        period = Period.begin(stack)
        lost, _ = told_of(period, ask(quiet_kill))
        if quiet_kill.met_nothing():
            return lost
    raise AssertionError(f"each of {KILLS} kills met a flush")


def test_a_clean_run_has_no_gap(witnessed: StackProcess) -> None:
    period = Period.begin(witnessed)
    token = witnessed.token("alice", "customer")
    for path in ("/orders/health", "/orders/1", "/admin/users", "/nowhere", "/orders%2f1", "/orders/1;a"):
        witnessed.ask(path)
        witnessed.ask(path, token=token)
    period.settle()
    told = period.told()

    assert (told.code, told.rows) == (0, []), told.said
    assert "nothing is missing" in told.said
    assert "Envoys with counters: gateledger" in told.said


def test_twelve_of_twelve_entries_survive_a_kill_of_alslog(witnessed: StackProcess) -> None:
    def ask(quiet_kill: QuietKill) -> int:
        seen = [witnessed.ask("/orders/health").status for _ in range(6)]
        quiet_kill()
        seen += [witnessed.ask("/orders/health").status for _ in range(6)]
        assert seen == [200] * 12
        return 12

    assert lost_by_a_quiet_kill(witnessed, ask) == 0


def test_six_hundred_of_six_hundred_entries_survive_a_kill_of_alslog_under_load(
    witnessed: StackProcess,
) -> None:
    def ask(quiet_kill: QuietKill) -> int:
        return load(witnessed, 600, {200: quiet_kill})

    assert lost_by_a_quiet_kill(witnessed, ask) == 0
    assert counters(witnessed)["logs_dropped"] == 0


def test_what_a_kill_of_alslog_lost_is_told_to_the_number_with_its_cause(witnessed: StackProcess) -> None:
    settle(witnessed)
    period = Period.begin(witnessed)
    witnessed.ask("/orders/health")
    settled = 1 + period.settle()
    sent, broken = counters(witnessed)["grpc_entries_flushed"], broken_streams(witnessed)
    # A frozen alslog takes what Envoy sends, and dies before it reads it: no setting of Envoy's helps there.
    alslog = eventually(lambda: witnessed.pid("alslog"), "alslog runs")
    os.kill(alslog, signal.SIGSTOP)
    during = [witnessed.ask(path).status for path in ["/orders/health"] * 7 + ["/nowhere"] * 3]
    eventually(
        # Envoy gives a frozen peer up after two seconds, and keeps what it has not sent by then.
        lambda: (
            counters(witnessed)["grpc_entries_flushed"] == sent + 10 or broken_streams(witnessed) > broken
        ),
        "Envoy has sent what it sends",
    )
    kill(witnessed, "alslog")
    again(witnessed, "alslog", alslog)
    settled += period.settle()
    lost = settled + 10 - period.stored()
    unrecorded = lost - (
        3 - len(witnessed.rows("url_path = '/nowhere' AND time >= {since:DateTime64(6)}", since=period.since))
    )
    told = period.told()

    assert during == [200] * 7 + [404] * 3
    assert lost > 0
    # The 404s were no decision: only the counters know of them.
    assert told.missing == {"decision_without_record": unrecorded, "counters_disagree": lost}, told
    assert told.code == 1
    assert all("alslog, or the connection to it, ended" in row["cause"] for row in told.rows), told
    assert all(row["envoy_node"] == "gateledger" for row in told.rows)
    assert f"at least {lost} requests have no record" in told.said


def test_records_that_were_deleted_with_their_bookings_are_told_by_the_other_witnesses(
    witnessed: StackProcess,
) -> None:
    settle(witnessed)
    period = Period.begin(witnessed)
    assert [witnessed.ask("/orders/health").status for _ in range(5)] == [200] * 5
    deleted = 5 + period.settle()
    assert period.stored() == deleted
    password = (witnessed.home / "secrets" / "clickhouse-writer").read_text().strip()
    with contextlib.closing(
        clickhouse_connect.get_client(
            dsn=witnessed.ready["clickhouse"], username="gateledger", password=password
        )
    ) as writer:
        of_period = f"received_at >= fromUnixTimestamp64Micro({int(period.since * 1e6)}, 'UTC')"
        for rows in (
            f"access_log DELETE WHERE {of_period}",
            f"batches DELETE WHERE {of_period} AND kind = 'http'",
        ):
            writer.command(f"ALTER TABLE audit.{rows}", settings={"mutations_sync": 2})
    told = period.told()
    # Rows and books agree: they cannot tell.
    verified = witnessed.run("db", "verify", "--since", "1h", "--settle", "0")

    assert (verified.returncode, told.code) == (0, 1), verified.stderr
    assert told.missing == {"decision_without_record": deleted, "counters_disagree": deleted}, told


def test_what_a_killed_envoy_took_along_is_told_with_its_cause(witnessed: StackProcess) -> None:
    for _ in range(KILLS):
        settle(witnessed)
        period = Period.begin(witnessed)
        assert witnessed.ask("/orders/health").status == 200
        envoy = kill(witnessed, "envoy")
        again(witnessed, "envoy", envoy)
        lost = 1 + period.settle() - period.stored()
        told = period.told()

        # What a killed Envoy had counted last nobody knows: the journal tells.
        assert told.missing == ({"decision_without_record": lost} if lost else {}), told
        if lost:
            assert (lost, told.code) == (1, 1)
            assert told.rows[0]["cause"].startswith("Envoy ended before it had sent all that it had logged")
            return
    raise AssertionError(f"each of {KILLS} kills came after a flush")


def test_the_time_of_a_check_is_known_for_denials_and_errors_too(witnessed: StackProcess) -> None:
    allowed = witnessed.row(witnessed.ask("/orders/health").headers["x-request-id"])
    denied = witnessed.row(witnessed.ask("/admin/users").headers["x-request-id"])
    extauthz = witnessed.pid("extauthz")
    assert extauthz
    os.kill(extauthz, signal.SIGSTOP)
    try:
        late = witnessed.row(witnessed.ask("/orders/health").headers["x-request-id"])
    finally:
        os.kill(extauthz, signal.SIGCONT)
    settle(witnessed)

    assert ["allow", "deny", "error"] == [row["decision"] for row in (allowed, denied, late)]
    assert all(row["authz_duration_us"] > 0 for row in (allowed, denied))
    # Envoy's limit for a Check is two seconds.
    assert late["authz_duration_us"] >= 1_900_000


def test_a_required_audit_keeps_what_it_allows_and_a_stop_in_order_loses_nothing(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    # The counters are read at the start and at the stop alone. There is never room for the journal: more is
    # to be left free than any disk has.
    required = {
        "GATELEDGER_EXTAUTHZ__AUDIT_REQUIRED": "true",
        "GATELEDGER_EXTAUTHZ__TRANSPORT": OTHER_TRANSPORT,
        "GATELEDGER_ENVOY__COUNTERS_SECONDS": "600",
    }
    no_room = {"GATELEDGER_EXTAUTHZ__JOURNAL_RESERVE_BYTES": str(2**60)}
    stack = StackProcess(tmp_path_factory.mktemp("gl") / "home", {**required, **no_room})
    with stack:
        refused = stack.ask("/orders/health")
        row = stack.row(refused.headers["x-request-id"])
        stack.stop()

        assert (refused.status, refused.json()["reason_code"]) == (503, "audit_unavailable")
        assert (row["decision"], row["reason_code"]) == ("error", "audit_unavailable")

        stack.settings = required
        started = time.time()
        stack.start()
        # Who is to read the counters at the stop has to be there by then.
        eventually(lambda: last_reading(stack) >= started, "the reading at the start")
        period = Period(stack, time.time())
        allowed = [stack.ask("/orders/health") for _ in range(30)]
        # What was answered is on disk, whatever dies now.
        kill(stack, "extauthz")
        stopped = stack.stop()
        ended = time.time()
        stack.start()
        told = period.told(read_since=ended)
        with stack.reader() as client:
            counted = client.query(
                "SELECT max(value) FROM audit.envoy_counters WHERE name = 'http.gate.downstream_rq_completed'"
            ).result_rows

        assert ([answer.status for answer in allowed], stopped) == ([200] * 30, 0)
        assert (told.code, told.rows) == (0, []), told.said
        assert (counted, period.stored()) == ([(30,)], 30)
