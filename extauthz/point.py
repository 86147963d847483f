"""One process that answers Checks: everything between its sockets and its journal. Belongs to one event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from extauthz.addresses import of_worker
from extauthz.check import Checker
from extauthz.config_version import config_version
from extauthz.decide import Rules
from extauthz.deciding import LocalDecider
from extauthz.decisions import DecisionJournal, Tally
from extauthz.extensions import extensions_of
from extauthz.gate import Gate
from extauthz.metrics import JournalCollector, Metrics
from extauthz.transports import Transports

if TYPE_CHECKING:
    import structlog
    from prometheus_client import CollectorRegistry

    from extauthz.settings import ExtAuthzSettings

_GRACE_SECONDS = 1.0


class DecisionPoint:
    """Answers Checks by what `decider` holds, as worker number so-and-so."""

    def __init__(
        self,
        settings: ExtAuthzSettings,
        worker: int,
        registry: CollectorRegistry,
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        """Raises PolicyError for functions that cannot be had, and ValueError for settings that are not complete."""
        if settings.decisions is None:
            raise ValueError("extauthz.decisions is not set; gateledger.settings.load does")
        self.metrics = Metrics(registry)
        self.decider = LocalDecider(settings.request, extensions_of(settings))
        # A spool has one owner: each worker journals its decisions into a directory of its own.
        directory = settings.decisions / str(worker)
        self.tally = Tally()
        registry.register(JournalCollector(self.tally, directory))
        self._journal = DecisionJournal(directory, settings, self.tally, log)
        rules = Rules(settings.request, config_version(settings), settings.path_parameters)
        checker = Checker(settings, rules, self.decider.snapshot, self.metrics.observe, log)
        self._gate = Gate(checker, settings, self._journal)
        here = settings.model_copy(update={"listen": of_worker(settings.listen, worker)})
        self._servers = Transports(self._gate, here, log)
        self._drain_seconds = settings.drain_seconds

    async def open(self) -> list[str]:
        """Open the journal and bind the addresses, which are given with their real ports. Raises AddressError."""
        await self._journal.open()
        return await self._servers.listen()

    async def start(self) -> None:
        """Answer from now on, without a policy too: Envoy asks none but healthy servers, and only an answer
        says why there is none.
        """
        await self._servers.start()

    async def stop(self) -> None:
        """Say that no more is answered, answer what comes all the same, and end."""
        await self._servers.set(serving=False)
        await self._gate.quiet(self._drain_seconds)
        await self._servers.stop(_GRACE_SECONDS)

    async def close(self) -> None:
        """Make durable what was decided, and let the journal go."""
        await self._journal.close()
