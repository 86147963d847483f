"""Whether what was stored is what was sent, in the manner of Jepsen's set test.

    accepted ⊆ stored ⊆ sent, each once, content equal

`sent`: every entry that left the sender. `accepted`: those whose stream was answered, which are on disk by
contract; or whatever else a test was promised. Entries are told apart by their path.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ledger_entries import select

from protos.gen import accesslog_pb2 as accesslog

if TYPE_CHECKING:
    from collections.abc import Iterable

    from clickhouse_connect.driver.client import Client

# Of a row, what is compared: path, user agent, request id, bytes of the answer.
Row = tuple[str, str, str, int]
_QUERY = (
    "SELECT url_path, user_agent_original, request_id, response_bytes FROM audit.access_log "
    "WHERE envoy_node = '{node}'"
)


def entry(path: str) -> accesslog.HTTPAccessLogEntry:
    """An entry whose content follows from its path, so that a mix-up is noticed."""
    _, agent, request_id, size = row(path)
    return accesslog.HTTPAccessLogEntry(
        request={"path": path, "user_agent": agent, "request_id": request_id},
        response={"response_body_bytes": size},
    )


def row(path: str) -> Row:
    """The row that the entry of this path has to become."""
    said = hashlib.sha256(path.encode()).hexdigest()
    return path, f"agent {said[:24]}", said[24:56], int(said[:6], 16)


@dataclass
class SetChecker:
    """What one node's sender knows. Safe for threads."""

    node: str
    sent: set[str] = field(default_factory=set)
    accepted: set[str] = field(default_factory=set)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def new(self, count: int) -> list[str]:
        """Paths of entries that are about to be sent."""
        with self._lock:
            made = [f"/{next(self._numbers)}" for _ in range(count)]
            self.sent.update(made)
        return made

    def accept(self, paths: Iterable[str]) -> None:
        with self._lock:
            self.accepted.update(paths)

    def findings(self, stored: Iterable[Row]) -> list[str]:
        """What is wrong, one line a kind; nothing where all is well."""
        rows = list(stored)
        count = Counter(path for path, *_ in rows)
        wrong = {
            "lost": self.accepted - count.keys(),
            "never sent": count.keys() - self.sent,
            "doubled": {path for path, times in count.items() if times > 1},
            "altered": {found[0] for found in rows if found != row(found[0])},
        }
        return [f"{len(paths)} {what}: {sorted(paths)[:5]}" for what, paths in wrong.items() if paths]

    def stored(self, client: Client) -> list[Row]:
        found = select(client, _QUERY.format(node=self.node))
        return [
            (row["url_path"], row["user_agent_original"], row["request_id"], int(row["response_bytes"]))
            for row in found
        ]

    def check(self, client: Client) -> None:
        """Fail unless accepted ⊆ stored ⊆ sent, each once, content equal."""
        assert [] == self.findings(self.stored(client))
