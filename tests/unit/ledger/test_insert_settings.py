import json

import pytest
from pydantic import ValidationError

from ledger.insert import body, settings
from ledger.plan import Load, Source, batch_of
from ledger.settings import LedgerSettings

BATCH = batch_of("seg.0", Source("tcp", 'n"\\é', "l"), 1_767_323_045_123_456_789, [b"\x0a\x00" * 200], 200)
OTHER = batch_of("seg.1", Source("tcp", "m", "l"), 1_767_323_045_999_999_999, [b"\x0a\x00" * 5], 5)
LOAD = Load((BATCH, OTHER))


def test_what_the_rows_of_each_batch_share_travels_in_the_log_comment() -> None:
    about = json.loads(str(settings(LOAD, "t")["log_comment"]))

    assert {
        "kind": "tcp",
        "first": [0, 200],
        "batch": ["seg.0", "seg.1"],
        "node": ['n"\\é', "m"],
        "log_name": ["l", "l"],
        "received_at": [1_767_323_045_123_456_789, 1_767_323_045_999_999_999],
    } == about


def test_a_load_is_one_block_in_one_partition_once() -> None:
    found = settings(LOAD, "token")

    assert 205 < int(found["max_insert_block_size"]) == int(found["min_insert_block_size_rows"])
    assert (1, 1, 0, 1) == tuple(
        found[name]
        for name in (
            "max_insert_threads",
            "max_partitions_per_insert_block",
            "async_insert",
            "wait_end_of_query",
        )
    )
    assert ("token", 1) == (found["insert_deduplication_token"], found["insert_deduplicate"])
    assert 1 == found["deduplicate_blocks_in_dependent_materialized_views"]


def test_without_a_token_it_is_a_trial() -> None:
    found = settings(LOAD, "")

    assert json.loads(str(found["log_comment"]))["trial"] is True
    assert 0 == found["insert_deduplicate"]


def test_settings_that_a_server_does_not_know_are_not_sent() -> None:
    assert "deduplicate_insert" not in settings(LOAD, "t", known=())
    assert "enable" == settings(LOAD, "t", known=("deduplicate_insert",))["deduplicate_insert"]


def test_settings_that_only_save_time_are_sent_where_they_are_known() -> None:
    known = ("query_plan_enable_optimizations", "materialize_skip_indexes_on_insert")

    assert {0} == {settings(LOAD, "t", known=known)[name] for name in known}
    assert not set(known) & set(settings(LOAD, "t"))


def test_further_names_of_secrets_travel_as_the_end_of_an_alternation() -> None:
    about = json.loads(str(settings(LOAD, "t", redact=("national.id", "iban"))["log_comment"]))

    assert r"|national\.id|iban" == about["redact"]


@pytest.mark.parametrize("name", ["", "a", "a|b", "(x", "é" * 3, "x" * 65])
def test_a_name_that_would_be_a_pattern_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        LedgerSettings(redact_names=(name,))


def test_no_more_names_are_taken_than_a_url_has_room_for() -> None:
    assert 100 == len(LedgerSettings(redact_names=("x" * 64,) * 100).redact_names)
    with pytest.raises(ValidationError, match="at most 100"):
        LedgerSettings(redact_names=("x" * 64,) * 101)


def test_the_schema_names_the_type_of_the_entries_and_has_no_comments() -> None:
    schema = str(settings(LOAD, "t")["format_schema"])

    assert "repeated TCPAccessLogEntry log_entry = 1;" in schema
    assert "//" not in schema
    assert "\n" not in schema


def test_the_body_is_one_message_behind_its_length() -> None:
    assert b"\x9a\x03" + BATCH.payload + OTHER.payload == b"".join(body(LOAD))
