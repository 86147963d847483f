"""One worker, in its process (`python -m extauthz.workers FD`, as its parent starts it). It does what the parent asks.

It ends when the parent asks it to, when it gets SIGTERM, and when the parent is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import uvloop
from prometheus_client import CollectorRegistry, generate_latest

from access import ReasonCode
from extauthz.engine import PolicyError, Source
from extauthz.point import DecisionPoint
from extauthz.settings import ExtAuthzSettings
from extauthz.workers.channel import Channel, Gone, Message
from service import logs
from service.probes import AddressError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import structlog

# As in extauthz.__main__: the journal's thread wants a few microseconds between two fdatasyncs.
SWITCH_SECONDS = 0.0005
_UNUSABLE = 2

Reply = tuple[dict[str, Any], bytes]


class UnusableError(Exception):
    """What this worker was started with cannot be used; the message says why."""


class Worker:
    """The answers to the parent's questions."""

    def __init__(self, point: DecisionPoint, registry: CollectorRegistry) -> None:
        self._point = point
        self._registry = registry
        self._version: str | None = None
        self._prepared: tuple[str, Any] | None = None
        self._freeing: asyncio.Task[None] | None = None
        self._does: dict[str, Callable[[Message], Awaitable[Reply]]] = {
            "prepare": self._prepare,
            "swap": self._swap,
            "drop": self._drop,
            "without": self._without,
            "serve": self._serve,
            "ping": self._ping,
            "tell": self._tell,
        }

    async def answer(self, question: Message) -> Message:
        head, body = await self._does[question.head["do"]](question)
        return Message({**head, "number": question.head["number"]}, body)

    async def _prepare(self, question: Message) -> Reply:
        try:
            loaded = await self._point.decider.prepare(source_in(question))
        except PolicyError as error:
            return {"refused": [asdict(finding) for finding in error.findings]}, b""
        self._prepared = loaded.version, loaded.mode
        return {"loaded": asdict(loaded)}, b""

    async def _swap(self, _: Message) -> Reply:
        self._point.decider.swap()
        if self._prepared is not None:
            self._version = self._prepared[0]
            self._point.metrics.policy(*self._prepared)
            self._prepared = None
        # The answer must not wait for it: the parent waits until all have swapped.
        self._freeing = asyncio.create_task(self._point.decider.let_go())
        return {"version": self._version}, b""

    async def _drop(self, _: Message) -> Reply:
        self._point.decider.drop()
        self._prepared = None
        return {}, b""

    async def _without(self, question: Message) -> Reply:
        await self._point.decider.without(ReasonCode(question.head["code"]), question.head["reason"])
        return {}, b""

    async def _serve(self, _: Message) -> Reply:
        await self._point.start()
        return {}, b""

    async def _ping(self, _: Message) -> Reply:
        return {}, b""

    async def _tell(self, _: Message) -> Reply:
        return {"version": self._version}, generate_latest(self._registry)


def source_in(message: Message) -> Source:
    """The policy that a message carries: the model's bytes, then the rules'."""
    head, cut = message.head, int(message.head["model_bytes"])
    return Source(head["model_path"], head["policy_path"], message.body[:cut], message.body[cut:])


async def work(end: socket.socket) -> None:
    """Begin as the parent says, then answer it until it is over. Raises UnusableError."""
    channel = await Channel.over(end)
    try:
        first = await channel.receive()
        settings, number = ExtAuthzSettings.model_validate(first.head["settings"]), first.head["worker"]
        log = logs.configure("extauthz", first.head["log_level"]).bind(worker=number)
        registry = CollectorRegistry()
        try:
            point = DecisionPoint(settings, number, registry, log)
            addresses = await point.open()
        except (AddressError, PolicyError) as error:
            channel.send(Message({"number": first.head["number"], "unusable": str(error)}))
            raise UnusableError(str(error)) from error
        channel.send(Message({"number": first.head["number"], "addresses": addresses}))
        await _until_the_end(channel, Worker(point, registry), point, log)
    except Gone:
        return
    finally:
        await channel.close()


async def _until_the_end(
    channel: Channel, worker: Worker, point: DecisionPoint, log: structlog.stdlib.BoundLogger
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    listening = asyncio.create_task(_listen(channel, worker, stop, log))
    try:
        await stop.wait()
        await point.stop()
    finally:
        listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await listening
        await point.close()
    log.info("worker stopped", decisions=point.tally.durable, dropped=point.tally.dropped.total())


async def _listen(
    channel: Channel, worker: Worker, stop: asyncio.Event, log: structlog.stdlib.BoundLogger
) -> None:
    """Answer the parent, each question by itself; `stop` is set when it says so, or is gone."""
    answering: set[asyncio.Task[None]] = set()

    async def answer(question: Message) -> None:
        try:
            with contextlib.suppress(Gone):
                channel.send(await worker.answer(question))
        except Exception as error:  # noqa: BLE001 - a worker that does not do as it is told must not decide
            log.error("a worker failed", asked=question.head["do"], error=f"{type(error).__name__}: {error}")  # noqa: TRY400 - no traceback at users
            stop.set()

    try:
        while (question := await channel.receive()).head["do"] != "stop":
            task = asyncio.create_task(answer(question))
            answering.add(task)
            task.add_done_callback(answering.discard)
    except Gone:
        pass
    finally:
        stop.set()


def main() -> int:
    """The exit code: 0 when it was stopped, 2 when it could not begin."""
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        uvloop.run(work(socket.socket(fileno=int(sys.argv[1]))))
    except UnusableError:
        return _UNUSABLE
    return 0
