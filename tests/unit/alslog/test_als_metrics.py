from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from alslog.intake import DROP_STOPPED, Tally
from alslog.metrics import AlsCollector


def registry(tmp_path: Path, tally: Tally | None = None) -> CollectorRegistry:
    made = CollectorRegistry()
    made.register(AlsCollector(tally or Tally(), tmp_path / "spool", tmp_path / "ledger.json"))
    return made


def test_every_metric_is_there_before_anything_happened(tmp_path: Path) -> None:
    made = registry(tmp_path)
    names = [
        "entries_total",
        "stored_total",
        "unparsed_total",
        "malformed_total",
        "messages_total",
        "broken_streams_total",
        "streams",
        "unsynced_bytes",
        "paused",
        "spool_bytes",
        "spool_segments",
        "oldest_unstored_seconds",
    ]

    assert [made.get_sample_value(f"gateledger_als_{name}") for name in names] == [0] * len(names)
    assert made.get_sample_value("gateledger_als_dropped_total", {"cause": DROP_STOPPED}) == 0


def test_what_was_stored_comes_from_the_ledger_writers_status(tmp_path: Path) -> None:
    (tmp_path / "ledger.json").write_text('{"stored_total": 7, "unparsed_total": 2, "last_error": null}')
    made = registry(tmp_path)

    assert made.get_sample_value("gateledger_als_stored_total") == 7
    assert made.get_sample_value("gateledger_als_unparsed_total") == 2


@pytest.mark.parametrize("content", ["", "{", "[]", '{"stored_total": "7"}'])
def test_an_unusable_status_counts_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "ledger.json").write_text(content)

    assert registry(tmp_path).get_sample_value("gateledger_als_stored_total") == 0
