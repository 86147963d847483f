"""grpc.health.v1.Health: Check and Watch. Its two messages are a string and a number, written by hand."""

from __future__ import annotations

import enum
import sys
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from extauthz.http2.method import Method
from extauthz.http2.status import RpcError, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


SERVICE = "grpc.health.v1.Health"
# Field and wire type of HealthCheckRequest.service and HealthCheckResponse.status.
_NAME_TAG = 0x0A
_STATUS_TAG = b"\x08"
_MAX_SHORT = 0x7F


class Serving(enum.IntEnum):
    """HealthCheckResponse.ServingStatus."""

    SERVING = 1
    NOT_SERVING = 2
    SERVICE_UNKNOWN = 3


@dataclass(slots=True)
class _Watch:
    """A Watch of one name."""

    health: Health
    name: str

    def attach(self, send: Callable[[bytes], None]) -> Callable[[], None]:
        watchers = self.health.watchers
        if len(watchers) >= self.health.max_watchers:
            raise RpcError(Status.RESOURCE_EXHAUSTED, "too many watch")
        watchers[self.name, id(send)] = send
        send(self.health.status(self.name))
        return partial(self._detach, id(send))

    def _detach(self, key: int) -> None:
        self.health.watchers.pop((self.name, key), None)


@dataclass(slots=True)
class Health:
    """What is told of all names at once; NOT_SERVING until `set`."""

    names: Sequence[str]
    max_watchers: int = 1_000
    watchers: dict[tuple[str, int], Callable[[bytes], None]] = field(default_factory=dict)
    _serving: Serving = Serving.NOT_SERVING

    def set(self, *, serving: bool) -> None:
        """Answer so from now on; watchers are told."""
        self._serving = Serving.SERVING if serving else Serving.NOT_SERVING
        for (name, _), send in list(self.watchers.items()):
            send(self.status(name))

    def methods(self) -> dict[str, Method]:
        """Answered however many other calls are inside: a server that is busy is not ill. `max_watchers` bounds Watch."""
        check, watch = Method(self._check, limit=sys.maxsize), Method(self._watch, limit=sys.maxsize)
        return {f"/{SERVICE}/Check": check, f"/{SERVICE}/Watch": watch}

    def status(self, name: str) -> bytes:
        """The message that says how it is about a name."""
        known = not name or name in self.names
        return _STATUS_TAG + bytes((self._serving if known else Serving.SERVICE_UNKNOWN,))

    def _check(self, message: bytes, *_: object) -> bytes:
        name = _name(message)
        if name and name not in self.names:
            raise RpcError(Status.NOT_FOUND, "unknown service")
        return self.status(name)

    def _watch(self, message: bytes, *_: object) -> _Watch:
        return _Watch(self, _name(message))


def _name(message: bytes) -> str:
    """HealthCheckRequest.service. Raises RpcError."""
    if not message:
        return ""
    if (
        len(message) < 2
        or message[0] != _NAME_TAG
        or message[1] > _MAX_SHORT
        or len(message) != 2 + message[1]
    ):
        raise RpcError(Status.INVALID_ARGUMENT, "not a HealthCheckRequest with a short name")
    return message[2:].decode("utf-8", "replace")
