"""A server for the fuzz of its bytes: methods whose answers name their questions."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field

from http2_scripts import METHODS

from extauthz.http2.head import Head
from extauthz.http2.health import Health
from extauthz.http2.limits import Limits
from extauthz.http2.method import Method
from extauthz.http2.server import Server


def answer_of(path: str, message: bytes) -> bytes:
    return hashlib.sha256(path.encode() + message).digest()


@dataclass
class Target:
    """A server for many connections, one after another."""

    server: Server = field(init=False)
    health: Health = field(init=False)
    failures: list[Exception] = field(default_factory=list)
    waiting: list[tuple[asyncio.Future[bytes], bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        now, later = METHODS
        self.health = Health(())
        methods = {
            **self.health.methods(),
            now: Method(lambda message, *_: answer_of(now, message)),
            later: Method(self._later),
        }
        self.server = Server(methods, Limits(), self.failures.append)

    def _later(self, message: bytes, _: Head, __: float | None) -> asyncio.Future[bytes]:
        future = asyncio.get_running_loop().create_future()
        self.waiting.append((future, answer_of(METHODS[1], message)))
        return future

    def answers(self) -> None:
        """Those who wait have waited long enough."""
        waiting, self.waiting = self.waiting, []
        for future, answer in waiting:
            future.set_result(answer)
