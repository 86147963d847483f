"""Names of decisions, as RFC 9562 has UUIDs of version 7."""

from __future__ import annotations

import os
import threading
import uuid

from access import uuid7
from extauthz import decision_ids
from extauthz.decision_ids import DecisionIds

NOW_MS = 1_790_000_000_123


def test_they_are_what_uuid7_makes_of_the_time_and_some_random_bits() -> None:
    for text in (DecisionIds().make(NOW_MS).decode(), uuid7(NOW_MS, bytes(10))):
        made = uuid.UUID(text)

        assert str(made) == text
        assert (made.version, made.variant) == (7, uuid.RFC_4122)
        assert made.int >> 80 == NOW_MS


def test_every_bit_that_may_be_random_is() -> None:
    ids = DecisionIds()
    seen = [uuid.UUID(ids.make(NOW_MS).decode()).int for _ in range(2_000)]
    ever, always = 0, -1
    for number in seen:
        ever, always = ever | number, always & number
    random = (0xFFF << 64) | 0x3FFF_FFFF_FFFF_FFFF

    assert (ever ^ always) == random


def test_a_later_time_makes_a_later_name() -> None:
    ids = DecisionIds()
    made = [ids.make(NOW_MS + step) for step in range(100)]

    assert made == sorted(made)


def test_no_two_threads_get_the_same() -> None:
    ids = DecisionIds()
    made: list[list[bytes]] = []
    threads = [
        threading.Thread(target=lambda: made.append([ids.make(NOW_MS) for _ in range(5_000)]))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    every = [name for names in made for name in names]

    assert len(set(every)) == len(every) == 20_000


def test_a_child_process_makes_its_own() -> None:
    """What was made beforehand is not used by both."""
    ids = DecisionIds()
    ids.make(NOW_MS)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, b"".join(ids.make(NOW_MS) for _ in range(50)))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    of_child = {said[at : at + 36] for at in range(0, len(said), 36)}
    of_parent = {ids.make(NOW_MS) for _ in range(2 * decision_ids._BATCH)}

    assert len(of_child) == 50
    assert not of_child & of_parent
