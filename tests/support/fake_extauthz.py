"""A decision point that misbehaves on command, behind the real Envoy."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from pathlib import Path
from typing import Self

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from protos.gen import ext_authz_pb2

SERVICE = "envoy.service.auth.v3.Authorization"
MIB = 1024 * 1024


class Mood(Enum):
    """How Checks are answered."""

    DENY = "a plain denial"
    GARBAGE = "bytes that are no message"
    ABORT = "an RPC error"
    CANCEL = "an RPC that ends without an answer"
    SLOW = "an answer that comes too late"
    BAD_HEADER = "a header that cannot be set"
    BARE_STATUS = "a status and nothing else"
    HUGE_BODY = "a denial of eight megabytes"
    HUGE_HEADER = "an allowance with a header of a megabyte"
    EMPTY = "an empty message, which is an allowance to Envoy"
    SAYS_DENY = "an allowance whose metadata says deny"
    SAYS_MORE = "an allowance whose metadata says more than a word"


class FakeExtAuthz:
    """Serves on a unix socket while the block runs; `mood` may change at any time."""

    def __init__(self, socket: Path) -> None:
        self.mood = Mood.DENY
        self.asked = 0
        self._address = f"unix:{socket}"
        # Set when the block ends: an answer that waits does not outlive the test.
        self._over = threading.Event()

    def __enter__(self) -> Self:
        self._server = grpc.server(ThreadPoolExecutor(8))
        shown = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(shown, self._server)
        shown.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
        handler = grpc.unary_unary_rpc_method_handler(self._check)
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(SERVICE, {"Check": handler}),)
        )
        self._server.add_insecure_port(self._address)
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.stop()

    def stop(self) -> None:
        self._server.stop(None).wait()

    def _check(self, _: bytes, context: grpc.ServicerContext) -> bytes:
        self.asked += 1
        if self.mood is Mood.ABORT:
            context.abort(grpc.StatusCode.INTERNAL, "no")
        if self.mood is Mood.CANCEL:
            context.cancel()
        if self.mood is Mood.SLOW:
            self._over.wait(30)
        if self.mood is Mood.GARBAGE:
            return b"\xff" * 100
        return _answer(self.mood).SerializeToString()


def _answer(mood: Mood) -> ext_authz_pb2.CheckResponse:
    answer = ext_authz_pb2.CheckResponse()
    if mood is Mood.SAYS_DENY:
        answer.dynamic_metadata.update({"effect": "deny"})
        return answer
    if mood is Mood.SAYS_MORE:
        answer.dynamic_metadata.update({"effect": ["allow"]})
        return answer
    if mood is Mood.BARE_STATUS:
        answer.status.code = 13
    elif mood in (Mood.BAD_HEADER, Mood.HUGE_HEADER):
        option = answer.ok_response.headers.add()
        option.header.key = "x bad" if mood is Mood.BAD_HEADER else "x-huge"
        option.header.value = "a" * (MIB if mood is Mood.HUGE_HEADER else 1)
    elif mood is not Mood.EMPTY:
        answer.status.code = 7
        answer.denied_response.status.code = 403  # type: ignore[assignment]
        answer.denied_response.body = "no" if mood is Mood.DENY else "a" * 8 * MIB
    return answer
