from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest
import structlog
from check_requests import allows, check_request
from policy_texts import SAMPLE
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from access import ReasonCode
from extauthz import pace, reload
from extauthz.check import Checker
from extauthz.decide import Rules
from extauthz.deciding import LocalDecider
from extauthz.engine import Engine
from extauthz.identity_settings import IdentitySettings, Issuer
from extauthz.metrics import Metrics
from extauthz.reload import PolicyStore
from extauthz.watched_files import WatchedFiles
from spool import SpoolError

if TYPE_CHECKING:
    from pathlib import Path

    from extauthz.engine import Source

ATTRIBUTES = ("subject", "service", "resource", "action")
GOOD = "p, alice, orders, /orders/:id, GET, allow\n"
BETTER = "p, alice, orders, /orders/:id, GET, deny\n"
BAD = "p, alice, orders\n"
SETTLE_SECONDS = 2.0


class Recorder:
    """A journal that remembers, and fails while `broken`."""

    def __init__(self) -> None:
        self.recorded: list[str] = []
        self.broken = False

    def record(self, source: Source) -> None:
        if self.broken:
            raise SpoolError("the disk is full")
        self.recorded.append(source.version)


class Bench:
    """A policy store over files in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.policy = folder / "policy.csv"
        self.model = folder / "model.conf"
        self.model.write_bytes((SAMPLE / "model.conf").read_bytes())
        self.journal = Recorder()
        self.registry = CollectorRegistry()
        self.now = 0.0
        # How much older than they are the files seem.
        self.aged = 0.0
        self.decider = LocalDecider(ATTRIBUTES)
        self.store = PolicyStore(
            WatchedFiles(
                (self.model, self.policy),
                SETTLE_SECONDS,
                monotonic=lambda: self.now,
                wall=lambda: time.time() + self.aged,
            ),
            self.decider,
            self.journal,
            Metrics(self.registry),
            structlog.get_logger(),
        )

    async def put(self, text: str) -> None:
        """Replace the policy as a careful editor does, and have it looked at."""
        beside = self.policy.with_suffix(".new")
        beside.write_text(text)
        beside.rename(self.policy)
        await self.store.refresh()

    async def wait(self, seconds: float = SETTLE_SECONDS) -> None:
        """Let so much time go by, and have the policy looked at."""
        self.now += seconds
        await self.store.refresh()

    def count(self, result: str) -> float | None:
        return self.registry.get_sample_value("gateledger_policy_reloads_total", {"result": result})

    @property
    def version(self) -> str | None:
        engine = self.decider.snapshot().engine
        return engine.version if engine else None

    @property
    def allowed(self) -> bool:
        checker = Checker(
            IdentitySettings(issuers=(Issuer(name="demo"),)),
            Rules(ATTRIBUTES),
            self.decider.snapshot,
            lambda *_: None,
            structlog.get_logger(),
        )
        return allows(checker.check(check_request()))


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(reload, "LOOK_SECONDS", 0.001)
    return Bench(tmp_path)


async def test_before_the_first_policy_nothing_is_decided(bench: Bench) -> None:
    await bench.store.refresh()

    assert bench.decider.snapshot().engine is None
    assert bench.decider.snapshot().unavailable is ReasonCode.POLICY_UNAVAILABLE
    assert "unreadable" in str(bench.store.detail())


async def test_a_policy_is_recorded_before_it_decides(bench: Bench) -> None:
    await bench.put(GOOD)

    assert bench.allowed
    assert bench.journal.recorded == [bench.version]
    assert bench.count("loaded") == 1
    assert bench.registry.get_sample_value("gateledger_policy_info", {"version": bench.version or ""}) == 1


async def test_a_new_policy_takes_the_place_of_the_old_one(bench: Bench) -> None:
    await bench.put(GOOD)
    before = bench.version
    await bench.put(BETTER)

    assert not bench.allowed
    assert bench.journal.recorded == [before, bench.version]
    assert bench.registry.get_sample_value("gateledger_policy_info", {"version": before or ""}) is None


async def test_a_bad_policy_leaves_the_last_good_one(bench: Bench) -> None:
    await bench.put(GOOD)
    before = bench.version
    with capture_logs() as logs:
        await bench.put(BAD)
        await bench.store.refresh()

    assert bench.allowed
    assert before == bench.version
    assert bench.count("refused") == 1
    assert [entry["event"] for entry in logs] == ["policy refused"]
    assert "policy.csv:1: error[arity]" in str(bench.store.detail()["refused"])


async def test_a_policy_that_becomes_good_again_clears_the_refusal(bench: Bench) -> None:
    await bench.put(GOOD)
    await bench.put(BAD)
    await bench.put(GOOD)

    assert bench.store.detail()["refused"] is None
    assert bench.count("loaded") == 1


async def test_a_policy_that_is_taken_away_leaves_the_last_good_one(bench: Bench) -> None:
    await bench.put(GOOD)
    bench.policy.unlink()
    await bench.store.refresh()

    assert bench.allowed
    assert bench.count("refused") == 1


async def test_a_model_counts_as_much_as_a_policy(bench: Bench) -> None:
    await bench.put(GOOD)
    before = bench.version
    bench.model.write_text(bench.model.read_text() + "# another word\n")
    await bench.store.refresh()
    await bench.wait()

    assert before != bench.version
    assert bench.count("loaded") == 2


async def test_a_linked_directory_that_is_swapped_is_seen(bench: Bench, tmp_path: Path) -> None:
    """As a ConfigMap does: policy.csv → ..data/policy.csv, ..data → a directory of the version."""
    for name, text in (("v1", GOOD), ("v2", BETTER)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "policy.csv").write_text(text)
    (tmp_path / "..data").symlink_to("v1")
    bench.policy.symlink_to("..data/policy.csv")
    await bench.store.refresh()
    allowed_before = bench.allowed
    (tmp_path / "..new").symlink_to("v2")
    (tmp_path / "..new").rename(tmp_path / "..data")
    await bench.store.refresh()

    assert allowed_before
    assert not bench.allowed


async def test_a_file_that_is_rewritten_in_place_with_pauses_is_taken_only_whole(bench: Bench) -> None:
    await bench.put(GOOD)
    with bench.policy.open("w") as file:
        for _ in range(5):
            file.write(GOOD)
            file.flush()
            await bench.store.refresh()
            await bench.wait(0.75 * SETTLE_SECONDS)
        file.write(BETTER)

    await bench.store.refresh()
    recorded_while_it_was_written = list(bench.journal.recorded)
    await bench.wait(0.75 * SETTLE_SECONDS)

    assert bench.allowed
    assert [bench.version] == recorded_while_it_was_written == bench.journal.recorded

    await bench.wait(0.25 * SETTLE_SECONDS)

    assert not bench.allowed
    assert len(bench.journal.recorded) == 2


async def test_a_file_that_rested_and_changes_while_it_is_read_has_to_rest_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.put(GOOD)
    bench.policy.write_text(GOOD * 2)
    await bench.store.refresh()
    real = reload.read

    def overtaken(*paths: Path) -> Source:
        if bench.policy.read_text() != BETTER:
            bench.policy.write_text(BETTER)
        return real(*paths)

    monkeypatch.setattr(reload, "read", overtaken)
    await bench.wait()

    assert bench.allowed
    assert len(bench.journal.recorded) == 1


async def test_a_file_that_is_replaced_is_taken_at_once_also_while_it_was_being_rewritten(
    bench: Bench,
) -> None:
    await bench.put(GOOD)
    bench.policy.write_text(GOOD * 2)
    await bench.store.refresh()
    await bench.put(BETTER)

    assert not bench.allowed
    assert len(bench.journal.recorded) == 2


async def test_a_policy_waits_for_its_model_to_rest(bench: Bench) -> None:
    await bench.put(GOOD)
    bench.model.write_text(bench.model.read_text() + "# half of what is ")
    await bench.put(BETTER)

    assert bench.allowed

    await bench.wait()

    assert not bench.allowed


async def test_a_new_file_that_grows_between_two_looks_has_to_rest(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.put(GOOD)
    real = reload.read
    pieces = iter([BETTER])

    def growing(*paths: Path) -> Source:
        found = real(*paths)
        with bench.policy.open("a") as file:
            file.write(next(pieces, ""))
        return found

    monkeypatch.setattr(reload, "read", growing)
    await bench.put(GOOD * 2)

    assert len(bench.journal.recorded) == 1

    await bench.wait()

    assert not bench.allowed
    assert len(bench.journal.recorded) == 2


@pytest.mark.parametrize(
    "text", [pytest.param(BETTER.rstrip(), id="no line break in the end"), pytest.param("", id="empty")]
)
async def test_a_new_file_whose_last_row_does_not_end_has_to_rest(bench: Bench, text: str) -> None:
    await bench.put(GOOD)
    await bench.put(text)
    await bench.wait(0.75 * SETTLE_SECONDS)

    assert bench.allowed

    await bench.wait(0.25 * SETTLE_SECONDS)

    assert not bench.allowed


async def test_a_file_that_has_rested_long_enough_already_is_taken_at_the_start(bench: Bench) -> None:
    bench.aged = SETTLE_SECONDS
    await bench.put(GOOD.rstrip())

    assert bench.allowed


async def test_a_file_that_is_changed_in_place_is_not_taken_for_old_by_another_clock(bench: Bench) -> None:
    """A file server's clock may be behind ours."""
    bench.aged = SETTLE_SECONDS
    await bench.put(GOOD)
    bench.policy.write_text(BETTER)
    await bench.store.refresh()

    assert bench.allowed


async def test_a_policy_that_cannot_be_recorded_is_not_swapped_in(bench: Bench) -> None:
    await bench.put(GOOD)
    before = bench.version
    bench.journal.broken = True
    with capture_logs() as logs:
        await bench.put(BETTER)
        await bench.store.refresh()

    assert bench.allowed
    assert before == bench.version
    assert bench.count("not_journaled") == 1
    assert [entry["event"] for entry in logs] == ["policy not swapped in, it cannot be recorded"]

    bench.journal.broken = False
    await bench.store.refresh()

    assert not bench.allowed


async def test_a_first_policy_that_cannot_be_recorded_lets_nobody_in(bench: Bench) -> None:
    bench.journal.broken = True
    await bench.put(GOOD)

    assert not bench.allowed
    assert bench.decider.snapshot().unavailable is ReasonCode.AUDIT_UNAVAILABLE

    bench.journal.broken = False
    await bench.store.refresh()

    assert bench.allowed


async def test_a_loader_that_breaks_leaves_the_last_good_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.put(GOOD)

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Engine, "from_source", broken)
    await bench.put(BETTER)

    assert bench.allowed
    assert "error[defect]" in str(bench.store.detail()["refused"])


async def test_files_that_did_not_change_are_not_read_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.put(GOOD)
    monkeypatch.setattr(reload, "read", None)

    await bench.store.refresh()

    assert bench.allowed


async def test_the_same_text_in_a_new_file_changes_nothing(bench: Bench) -> None:
    await bench.put(GOOD)
    await bench.put(GOOD)
    os.utime(bench.policy, (0, 0))
    await bench.store.refresh()
    await bench.wait()

    assert len(bench.journal.recorded) == 1


async def test_how_a_policy_is_evaluated_shows(bench: Bench) -> None:
    await bench.put(GOOD)

    assert bench.registry.get_sample_value("gateledger_policy_engine_info", {"mode": "indexed"}) == 1
    assert bench.store.detail()["mode"] == "indexed"

    text = bench.model.read_text().replace("keyMatch(r.act, p.act)", "timeMatch(p.act, p.act)")
    beside = bench.model.with_name("model.new")
    beside.write_text(text)
    beside.rename(bench.model)
    await bench.put(GOOD.replace("GET", "_"))

    assert bench.registry.get_sample_value("gateledger_policy_engine_info", {"mode": "pycasbin"}) == 1
    assert bench.registry.get_sample_value("gateledger_policy_engine_info", {"mode": "indexed"}) == 0
    assert bench.store.detail()["mode"] == "pycasbin"
    assert bench.store.detail()["fallback_reason"] == "timeMatch() is not compiled"
    assert "warning[fallback]" in str(bench.store.detail()["warnings"])


async def test_of_very_many_findings_the_first_are_shown_and_logged_errors_before_warnings(
    bench: Bench,
) -> None:
    doubtful = "".join(f"p, alice, orders, /a.b/{number}, GET, allow\n" for number in range(150))

    with capture_logs() as logs:
        await bench.put(doubtful)

    shown = bench.store.detail()["warnings"]
    assert isinstance(shown, list)
    assert len(shown) == 101
    assert "policy.csv:100: warning[expression]" in shown[99]
    assert shown[100] == "and 50 more: gateledger policy lint tells all"
    assert [entry["finding"] for entry in logs if entry["event"] == "policy finding"] == shown

    with capture_logs() as logs:
        await bench.put(doubtful + "p, alice, orders, /a, GET, alow\n")

    refused = bench.store.detail()["refused"]
    assert isinstance(refused, dict)
    assert "policy.csv:151: error[effect]" in refused["findings"][0]
    assert "policy.csv:1: warning[expression]" in refused["findings"][1]
    assert refused["findings"][-1] == "and 51 more: gateledger policy lint tells all"
    assert [entry["findings"] for entry in logs if entry["event"] == "policy refused"] == [
        refused["findings"]
    ]


async def test_a_policy_that_is_replaced_is_let_go(bench: Bench) -> None:
    await bench.put(GOOD)
    rules = bench.decider.snapshot().engine.rules  # type: ignore[union-attr]
    await bench.put(BETTER)

    assert rules.fields == []


async def test_a_policy_that_still_decides_for_somebody_is_left_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "_LAST_REQUEST_SECONDS", 0.05)
    await bench.put(GOOD)
    engine = bench.decider.snapshot().engine
    await bench.put(BETTER)

    assert engine is not None
    assert engine.enforce("alice", "orders", "/orders/1", "GET").allowed
