"""What stands between a transport and the checker: limits, deadlines, and the journal. Belongs to one event loop.

It tells no decision that the journal was not given, save `audit_unavailable`, which says that it cannot be. With
`audit_required` nothing that lets a request pass is told before the journal holds it durably.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING

from access import ReasonCode

if TYPE_CHECKING:
    from extauthz.check import Checked, Checker
    from extauthz.decisions import DecisionJournal
    from extauthz.settings import ExtAuthzSettings

# Envoy takes an unhealthy server out of use within its health check's interval, and asks no more.
QUIET_SECONDS = 0.5

Told = bytes | asyncio.Future[bytes]


class Gate:
    """Answers Checks: never with an RPC error, which would leave Envoy without reason and id."""

    def __init__(self, checker: Checker, settings: ExtAuthzSettings, journal: DecisionJournal) -> None:
        self.max_concurrent = settings.max_concurrent
        self._max_bytes = settings.max_request_bytes
        self._seconds = settings.deadline_seconds
        self._checker = checker
        self._journal = journal
        self._required = journal.required
        # At hand, for each lookup is on the way of every Check.
        self._checked, self._add, self._observe = checker.checked, journal.add, checker.observe
        self._asked_at = -QUIET_SECONDS

    def answer(self, message: bytes, node: str, deadline: float | None) -> Told:
        """One Check of an Envoy's; `deadline` in time.monotonic()'s seconds, None without one."""
        self._asked_at = now = time.monotonic()
        if deadline is not None and now >= deadline:
            late = "the Check waited past its deadline"
            checked = self._checker.refused(ReasonCode.DEADLINE_EXCEEDED, late, message[: self._max_bytes])
        elif len(message) > self._max_bytes:
            large = f"a Check of more than {self._max_bytes} bytes"
            checked = self._checker.refused(ReasonCode.BAD_REQUEST, large)
        else:
            checked = self._checked(message)
        answer, entry, reason_code, started = checked
        if entry:
            if self._required:
                until = now + self._seconds
                return self._kept(checked, node, until if deadline is None else min(until, deadline))
            self._add(node, entry)
        # As Checker.told.
        self._observe(reason_code, time.perf_counter_ns() - started)
        return answer

    def crowded(self, node: str) -> Told:
        """One Check more than may be inside."""
        self._asked_at = now = time.monotonic()
        crowded = f"more than {self.max_concurrent} Checks at a time"
        checked = self._checker.refused(ReasonCode.OVERLOADED, crowded)
        _, entry, _, _ = checked
        if entry and self._journal.required:
            return self._kept(checked, node, now + self._seconds)
        return self._told(checked, node)

    def _told(self, checked: Checked, node: str) -> bytes:
        # Without an entry it is the last resort: a denial that says nothing of the request.
        _, entry, _, _ = checked
        if entry:
            self._journal.add(node, entry)
        return self._checker.told(checked)

    def _kept(self, checked: Checked, node: str, until: float) -> asyncio.Future[bytes]:
        """The answer, once the journal has it on disk; another one where it does not by then."""
        loop = asyncio.get_running_loop()
        told: asyncio.Future[bytes] = loop.create_future()
        _, entry, _, _ = checked
        kept = self._journal.durable(node, entry)
        late = loop.call_later(max(0.0, until - time.monotonic()), self._late, told, node)
        kept.add_done_callback(partial(self._on_disk, told, late, checked))
        return told

    def _on_disk(
        self,
        told: asyncio.Future[bytes],
        late: asyncio.TimerHandle,
        checked: Checked,
        kept: asyncio.Future[None],
    ) -> None:
        late.cancel()
        if told.done():
            return
        if kept.cancelled() or kept.exception() is not None:
            unkept = "the decision could not be written to the journal"
            checked = self._checker.refused(ReasonCode.AUDIT_UNAVAILABLE, unkept)
        told.set_result(self._checker.told(checked))

    def _late(self, told: asyncio.Future[bytes], node: str) -> None:
        if not told.done():
            slow = "the journal did not take the decision in time"
            told.set_result(self._told(self._checker.refused(ReasonCode.DEADLINE_EXCEEDED, slow), node))

    async def quiet(self, seconds: float) -> None:
        """Return when no Check has come for QUIET_SECONDS, or after so many seconds.

        A server that stops refuses what has not begun: it stops when there is nothing.
        """
        deadline = time.monotonic() + seconds
        while (now := time.monotonic()) < deadline and now < self._asked_at + QUIET_SECONDS:  # noqa: ASYNC110 - silence is no event
            await asyncio.sleep(min(deadline, self._asked_at + QUIET_SECONDS) - now)
