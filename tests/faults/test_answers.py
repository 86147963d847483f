"""ClickHouse that answers late, twice, wrongly or not at all: each entry is stored once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from chserver_process import ChServerProcess
from clickhouse_connect.driver.client import Client
from fault_proxy import Fault, FaultProxy, first
from ledger_entries import payload_of
from ledger_process import LedgerProcess, fill, origin, wait_until
from set_checker import SetChecker, entry

pytestmark = pytest.mark.faults

INSERT = "INTO audit.entries"
BOOK = "INTO audit.batches"
LOOK = "FROM audit.access_log"


def spooled(ledger: LedgerProcess, checker: SetChecker, segments: int = 3) -> None:
    """Segments of a few messages each, all of them promised."""
    for _ in range(segments):
        messages = [checker.new(7) for _ in range(3)]
        fill(ledger.spool, *((origin(node=checker.node), payload_of(*map(entry, each))) for each in messages))
    checker.accept(checker.sent)


def stored_once(
    server: ChServerProcess, home: Path, checker: SetChecker, fault: Callable[[str], Fault]
) -> tuple[LedgerProcess, list[Fault]]:
    """The writer, once it has stored all through the faults; and the faults that it met."""
    with FaultProxy(server.port, fault) as proxy:
        ledger = LedgerProcess(home, proxy.url, server.password_file, retry_max_seconds=0.02)
        spooled(ledger, checker)
        with ledger:
            ledger.drained()
            wait_until(lambda: ledger.status["clickhouse"] == "up", "ClickHouse to be up")
            ledger.stop()
        return ledger, proxy.done


@pytest.mark.parametrize(
    ("marker", "fault"),
    [
        (INSERT, Fault.LOST),
        (INSERT, Fault.RESET),
        (INSERT, Fault.LATE),
        (INSERT, Fault.HALF),
        (INSERT, Fault.NO_QUORUM),
        (BOOK, Fault.LOST),
        (LOOK, Fault.LOST),
    ],
)
def test_an_answer_that_does_not_come_is_asked_for_and_never_guessed(  # noqa: PLR0917
    server: ChServerProcess, client: Client, checker: SetChecker, tmp_path: Path, marker: str, fault: Fault
) -> None:
    _, met = stored_once(server, tmp_path, checker, first(2, marker, fault))

    assert met
    checker.check(client)


@pytest.mark.parametrize(
    ("fault", "tries"),
    # Pauses grow to 30 s, 15 s on average: ten minutes are some forty tries, which `make faults` makes.
    # Here a pause is 20 ms at most.
    [
        pytest.param(Fault.REFUSED, 40, id="503"),
        pytest.param(Fault.TOO_MANY_PARTS, 10, id="TOO_MANY_PARTS"),
        pytest.param(Fault.READ_ONLY, 3, id="Keeper is away"),
        pytest.param(Fault.NO_KEEPER, 3, id="the connection to Keeper breaks"),
    ],
)
def test_what_passes_is_waited_for(  # noqa: PLR0917
    server: ChServerProcess,
    client: Client,
    checker: SetChecker,
    tmp_path: Path,
    cycles: int,
    fault: Fault,
    tries: int,
) -> None:
    tries = min(tries, cycles)
    ledger, met = stored_once(server, tmp_path, checker, first(tries, INSERT, fault))

    assert [fault] * tries == met
    # It says so, once a change, and not at every try.
    assert [] != [event for event in ledger.events if event["event"] == "the ledger waits"]
    assert not ledger.quarantine.exists()
    checker.check(client)
