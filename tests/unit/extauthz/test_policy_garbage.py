"""What is built while nobody searches for garbage, and is left out of later searches, must be none (extauthz.pace)."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
from casbin.util import SimpleEval
from policy_texts import SAMPLE, source

from extauthz.engine import Engine


@pytest.fixture(autouse=True)
def unsearched() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def left_over() -> int:
    """What a search for garbage frees. It does not count evaluators, which take themselves apart when it finds them."""
    evaluators = sum(isinstance(each, SimpleEval) for each in gc.get_objects())
    return evaluators + gc.collect()


def test_a_policy_that_was_built_and_freed_leaves_nothing_to_search_for() -> None:
    def build() -> None:
        Engine.from_files(
            SAMPLE / "model.conf", SAMPLE / "policy.csv", ("subject", "service", "resource", "action")
        )

    build()
    gc.collect()
    build()

    assert left_over() == 0


def test_a_request_that_tries_every_rule_leaves_nothing_to_search_for() -> None:
    engine = Engine.from_source(source("p, alice, /a, GET, allow\n"))
    values = ("alice", "/a", "GET")
    assert engine.scan(values, ()).allowed
    gc.collect()

    assert engine.scan(values, ()).allowed

    assert left_over() == 0
