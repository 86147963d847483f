"""What a server is given to call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping


class Feed(Protocol):
    """A call that is answered again and again, until its client or the server ends it."""

    def attach(self, send: Callable[[bytes], None]) -> Callable[[], None]:
        """Send messages from now on, the first at once; gives what stops it."""


@dataclass(frozen=True, slots=True)
class Method:
    """A method: `call` gives the answer's bytes, a future of them, or a Feed; or raises RpcError.

    It is asked with the message, what `caller` makes of the call's metadata (once for calls with the same headers), and
    its deadline (of time.monotonic; None without one). When `limit` calls are inside, `crowded` answers instead, at
    once; without it they are RESOURCE_EXHAUSTED.
    """

    call: Callable[[bytes, Any, float | None], bytes | asyncio.Future[bytes] | Feed]
    crowded: Callable[[bytes, Any], bytes | asyncio.Future[bytes]] | None = None
    limit: int = 1_000
    caller: Callable[[Mapping[bytes, bytes]], Any] = dict
