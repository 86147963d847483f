from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import pytest
from policy_texts import model_text, source

from extauthz.journal import Journal
from spool import SpoolError, sealed_segments

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

POLICY = "p, zoë, /a, GET, allow\n"


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path / "journal")
    yield made
    made.close()


def test_a_policy_is_found_in_the_spool_as_it_decided(journal: Journal, tmp_path: Path) -> None:
    policy = source(POLICY)
    journal.record(policy)
    journal.close()

    (record,) = [record for segment in sealed_segments(tmp_path / "journal") for record in segment.records()]
    origin, payload = json.loads(record.origin), json.loads(record.payload)

    assert origin == {"kind": "policy", "version": policy.version, "received_at": origin["received_at"]}
    assert isinstance(origin["received_at"], int)
    assert (payload["model"], payload["policy"]) == (model_text(), POLICY)
    assert (payload["model_path"], payload["policy_path"]) == ("model.conf", "policy.csv")
    assert payload["node"]


def test_a_journal_that_another_process_holds_is_an_error_and_can_be_had_later(
    journal: Journal, tmp_path: Path
) -> None:
    other = Journal(tmp_path / "journal")
    other.record(source(POLICY))

    with pytest.raises(SpoolError):
        journal.record(source(POLICY))

    other.close()
    journal.record(source(POLICY))


def test_a_closed_journal_leaves_no_thread(journal: Journal) -> None:
    before = threading.active_count()
    journal.record(source(POLICY))
    journal.close()

    assert before == threading.active_count()
