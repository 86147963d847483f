"""When merges stop for inserts, and when they go on."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from chserver.errors import UNKNOWN_EXCEPTION, ClickHouseError
from chserver.merges import Merges

if TYPE_CHECKING:
    from collections.abc import Iterator

STOP, START = "SYSTEM STOP MERGES", "SYSTEM START MERGES"


class FakeSession:
    """An engine with so many parts, which notes what it is told."""

    def __init__(self) -> None:
        self.parts = 0
        self.said: list[str] = []
        self.broken = False

    @contextlib.contextmanager
    def open(self) -> Iterator[FakeSession]:
        yield self

    def execute(self, statement: str) -> None:
        if self.broken:
            raise ClickHouseError(UNKNOWN_EXCEPTION, "broken")
        self.said.append(statement)

    def value(self, _: str) -> str:
        return str(self.parts)


@pytest.fixture
def session() -> FakeSession:
    return FakeSession()


@pytest.fixture
def merges(session: FakeSession) -> Merges:
    return Merges(session.open)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("looks", "said"),
    [
        pytest.param([(0.0, 5), *[(1.0, 5)] * 9], [], id="one insert at a time leaves them alone"),
        pytest.param([(2.0, 5)], [STOP], id="inserts that queue up stop them"),
        pytest.param([(2.0, 5), (2.0, 6), (3.0, 7)], [STOP], id="once"),
        pytest.param([(2.0, 100)], [], id="not with many parts"),
        pytest.param([(2.0, 5), (0.0, 5), (0.0, 5), *[(0.7, 5)] * 3], [STOP], id="not at every breath"),
        pytest.param([(2.0, 5), *[(0.5, 5)] * 3], [STOP, START], id="they go on after the burst"),
        pytest.param([(2.0, 5), *[(2.0, 199)] * 9], [STOP], id="a burst may make many parts"),
        pytest.param([(2.0, 5), *[(2.0, 200)] * 5], [STOP, START], id="but not more"),
        pytest.param([(2.0, 5), *[(2.0, 200)] * 5, (2.0, 150)], [STOP, START], id="they are paid back first"),
        pytest.param([(2.0, 5), *[(2.0, 200)] * 5, (2.0, 99)], [STOP, START, STOP], id="then it may go on"),
    ],
)
def test_merges_wait_for_inserts_up_to_a_number_of_parts(
    session: FakeSession, merges: Merges, looks: list[tuple[float, int]], said: list[str]
) -> None:
    for load, parts in looks:
        session.parts = parts
        merges.look(load)

    assert said == session.said


def test_a_statement_that_may_need_them_has_them_whatever_the_load(
    session: FakeSession, merges: Merges
) -> None:
    merges.look(2.0)
    with merges.wanted():
        merges.look(2.0)
        during = list(session.said)
    merges.look(2.0)

    assert [STOP, START] == during
    assert [STOP, START, STOP] == session.said


def test_what_could_not_be_said_is_said_again(session: FakeSession, merges: Merges) -> None:
    merges.look(2.0)
    merges.look(0.0)
    merges.look(0.0)
    session.broken = True
    with pytest.raises(ClickHouseError):
        merges.look(0.0)
    session.broken = False
    merges.look(0.0)

    assert [STOP, START] == session.said
