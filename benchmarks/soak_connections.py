"""Connections that come and go, each in a way of its own: those of well-behaved clients, and of others."""

from __future__ import annotations

import socket
import struct
import time
from itertools import cycle
from typing import TYPE_CHECKING

from check_load import Asked, Client

from extauthz.http2 import frames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_CANCEL = frames.ErrorCode.CANCEL
# Closed so, a TCP connection is reset rather than ended.
_RESET = struct.pack("ii", 1, 0)


class _Visitor(Client):
    """A client that goes when it likes."""

    def send(self, count: int) -> list[int]:
        """So many Checks; the numbers of their streams."""
        first = self._stream
        self._send(count, time.perf_counter())
        return list(range(first, self._stream, 2))

    def say(self, *said: bytes) -> None:
        self.socket.sendall(b"".join(said))


def asks_and_goes(address: str, asked: Sequence[Asked]) -> int:
    visitor = _Visitor(address, asked)
    taken = visitor.closed_loop(8, 4)
    visitor.close()
    return len(taken.latencies)


def says_goodbye(address: str, asked: Sequence[Asked]) -> int:
    visitor = _Visitor(address, asked)
    taken = visitor.closed_loop(2, 1)
    visitor.say(frames.goaway(0, frames.ErrorCode.NO_ERROR))
    visitor.close()
    return len(taken.latencies)


def does_not_wait(address: str, asked: Sequence[Asked]) -> int:
    """Checks are on their way, and their client is gone."""
    visitor = _Visitor(address, asked)
    visitor.send(16)
    visitor.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    visitor.close()
    return 0


def resets(address: str, asked: Sequence[Asked]) -> int:
    """Half of its Checks are called back, for the answers of the others it does not wait."""
    visitor = _Visitor(address, asked)
    numbers = visitor.send(16)
    visitor.say(*(frames.reset(number, _CANCEL) for number in numbers[::2]))
    visitor.close()
    return 0


def stops_inside_a_frame(address: str, asked: Sequence[Asked]) -> int:
    visitor = _Visitor(address, asked)
    visitor.say(frames.frame(frames.HEADERS, 0, 99, b"x" * 100)[:50])
    visitor.close()
    return 0


def never_opens_its_window(address: str, asked: Sequence[Asked]) -> int:
    visitor = _Visitor(address, asked)
    visitor.say(frames.settings({frames.INITIAL_WINDOW_SIZE: 0}))
    visitor.send(20)
    visitor.close()
    return 0


def says_nothing(address: str, _: Sequence[Asked]) -> int:
    _connected(address).close()
    return 0


def speaks_http_1(address: str, _: Sequence[Asked]) -> int:
    """Its connection is closed by the server."""
    made = _connected(address)
    made.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    while made.recv(65_536):
        pass
    made.close()
    return 0


_KINDS: tuple[Callable[[str, Sequence[Asked]], int], ...] = (
    asks_and_goes,
    does_not_wait,
    says_goodbye,
    resets,
    stops_inside_a_frame,
    never_opens_its_window,
    says_nothing,
    speaks_http_1,
)


def visits(address: str, asked: Sequence[Asked]) -> Iterator[int]:
    """One connection after another, each kind in its turn; how many Checks were answered, and found right."""
    for kind in cycle(_KINDS):
        yield kind(address, asked)


def _connected(address: str) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(30)
    made.connect(address.removeprefix("unix:"))
    return made
