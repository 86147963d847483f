"""Streams of bytes into extauthz.http2, and the laws that hold of whatever they are.

- No exception leaves the server, and it says nothing behind a connection's end.
- What `h2` takes for a whole call is answered once, with what it asked for; what h2 calls wrong is answered with an
  error, unless LENIENT says why not; and only what STRICT names is refused where h2 takes it.
- An answer is of what was sent on its stream, whoever is right about the rest.
- The server never sends what h2 would not let it send.
- A connection's end leaves nothing behind, and the next connection is served.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from dataclasses import dataclass, field

from http2_cuts import cut_up, frames_of
from http2_oracle import LENIENT, STRICT, Header, Oracle
from http2_peer import Frame, Peer, prefixed, with_path
from http2_scripts import METHODS, WATCH, damaged, script
from http2_target import Target, answer_of

from extauthz.http2 import frames
from extauthz.http2.frames import ErrorCode, StreamFault, frame

# Longer ones are not cut into bytes: that many pieces which end no frame count as a flood.
_BYTEWISE = 1_500
# What a watcher is told.
_UNHEALTHY = prefixed(b"\x08\x02")
_OUT_OF_STEP = "out of step"
# A byte of a client makes the server say so many at most, and these anyway.
_ECHO, _ANYWAY = 40, 4_096


class Finding(AssertionError):  # noqa: N818 - what a fuzzer calls it
    """A law that did not hold."""


@dataclass
class Seen:
    """What the server said on a stream."""

    headers: list[dict[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    ended: bool = False
    reset: int | None = None


class Case:
    """One connection: what its client says, cut into pieces, and what came of it."""

    def __init__(self, target: Target, seed: int) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        self.target = target
        self.peer = Peer(server=target.server, greet=False)
        self.oracle = Oracle(target.server.limits)
        self.seen: dict[int, Seen] = {}
        self.errors: list[str] = []
        self.faults: list[str] = []
        self.said = b""
        self.heard = 0
        self.in_step = False
        self._fed = 0
        self._settled = False
        self._watch()

    def _watch(self) -> None:
        fault = self.peer.connection._fault_stream

        def told(found: StreamFault) -> None:
            self.faults.append(str(found))
            fault(found)

        self.peer.connection._fault_stream = told  # type: ignore[method-assign]

    async def play(self) -> str:
        """Say it all; what kind of a case it was. Raises Finding."""
        chance = self.chance
        said = script(chance)
        whole = chance.random() < 0.4
        if not whole:
            said = damaged(chance, said)
        data = b"".join(said)
        way = chance.choice(("frames", "frames", "whole", "bytes", "cuts", "cuts"))
        if way == "bytes" and len(data) > _BYTEWISE:
            way = "cuts"
        # After each piece at most one frame has come.
        self.in_step = way in ("frames", "bytes") and whole
        for piece in cut_up(chance, said, data, way):
            await self._say(piece)
            if chance.random() < 0.5:
                self.target.answers()
                await asyncio.sleep(0)
                self._look()
        await self._settle()
        kind = self._judge(legal=whole)
        await self._end()
        return kind

    async def _say(self, piece: bytes) -> None:
        connection = self.peer.connection
        before = connection.closing
        self.said += piece
        try:
            connection.data_received(piece)
        except Exception as error:
            raise self._finding(f"data_received raised {type(error).__name__}: {error}") from error
        self._feed_oracle()
        if connection.server._queue:
            await asyncio.sleep(0)
        if before and self.peer.wire.sent:
            raise self._finding("said something behind the connection's end")
        self._look()

    def _feed_oracle(self) -> None:
        """Frames that are whole; a preface first."""
        if not self._fed:
            if len(self.said) < len(frames.PREFACE):
                return
            self._fed = len(frames.PREFACE)
            self.oracle.take(self.said[: self._fed])
        while len(self.said) - self._fed >= frames.HEAD_BYTES:
            size = int.from_bytes(self.said[self._fed : self._fed + 3])
            stop = self._fed + frames.HEAD_BYTES + size
            if size > frames.MAX_FRAME_BYTES:
                # h2 says so as well, once it has the frame.
                self.oracle.refusal = self.oracle.refusal or "a frame larger than 16,384 bytes"
            if stop > len(self.said):
                return
            self.oracle.take(self.said[self._fed : stop])
            self._fed = stop

    def _look(self) -> None:
        """What the server has said since the last look."""
        self.heard += len(self.peer.wire.sent)
        for one in self.peer.seen():
            headers: list[Header] = []
            if one.kind == frames.GOAWAY:
                code = ErrorCode(int.from_bytes(one.payload[4:8]))
                if code is not ErrorCode.NO_ERROR:
                    self.errors.append(code.name)
                    self.faults.append(one.payload[8:].decode())
            elif one.kind == frames.HEADERS:
                headers = [(bytes(n), bytes(v)) for n, v in self.peer.decoder.decode(one.payload, raw=True)]
                self.seen.setdefault(one.stream, Seen()).headers.append(dict(headers))
            if one.kind in (frames.HEADERS, frames.DATA, frames.RST_STREAM):
                self._note(one)
            problem = self.oracle.sends(one, headers)
            if problem and not self.errors:
                if self.in_step:
                    raise self._finding(f"sent what may not be sent: {problem}")
                # Sent between two frames of one piece, when it may have been right.
                self.oracle.refusal = _OUT_OF_STEP

    def _note(self, one: Frame) -> None:
        seen = self.seen.setdefault(one.stream, Seen())
        if one.kind == frames.RST_STREAM:
            seen.reset = int.from_bytes(one.payload)
            if seen.reset != ErrorCode.NO_ERROR:
                self.errors.append(ErrorCode(seen.reset).name)
            return
        if seen.ended:
            raise self._finding(f"sent more on stream {one.stream} than its end")
        if one.kind == frames.DATA:
            seen.body += one.payload
        seen.ended = bool(one.flags & frames.END_STREAM)

    async def _settle(self) -> None:
        """Windows open and answers come, so that all that can be answered is."""
        connection = self.peer.connection
        self._settled = not connection.closing and not connection._block and self._fed == len(self.said)
        if self._settled:
            await self._say(
                frame(frames.SETTINGS, 0, 0, b"\0\x04\0\0\xff\xff") + frames.window_update(0, 1_000_000)
            )
        for _ in range(200):
            if not self.target.waiting and not self.target.server._queue:
                break
            self.target.answers()
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        self._look()

    def _judge(self, *, legal: bool) -> str:
        oracle = self.oracle
        if legal and oracle.refusal not in ("", _OUT_OF_STEP):
            raise self._finding(f"the script is wrong: {oracle.refusal}")
        self._judge_bodies()
        if self.heard > _ECHO * len(self.said) + _ANYWAY:
            raise self._finding(f"{self.heard} bytes were said to {len(self.said)}")
        strange = [fault for fault in self.faults if fault not in STRICT] if not oracle.resets else []
        if not oracle.refusal:
            if strange:
                raise self._finding(f"h2 takes what was refused: {strange}")
            if self._settled and not self.peer.connection.closing:
                self._judge_answers()
            return "strict" if self.errors else "legal"
        if oracle.refusal == _OUT_OF_STEP:
            return "out of step"
        if self.errors:
            return "wrong"
        if not any(re.search(pattern, oracle.refusal) for pattern, _ in LENIENT):
            raise self._finding(f"h2 refuses what was taken: {oracle.refusal}")
        return "lenient"

    def _judge_answers(self) -> None:
        """Each whole call has its answer."""
        for number, call in self.oracle.calls.items():
            seen = self.seen.get(number, Seen())
            if call.gone or seen.reset not in (None, ErrorCode.NO_ERROR):
                continue
            if not call.whole:
                if seen.headers and seen.headers[0].get(b"grpc-status") != b"8":
                    raise self._finding(f"stream {number} was answered before it was whole")
                continue
            if (b":path", WATCH.encode()) in call.headers and call.status() == (200, 0):
                if not seen.body and not seen.ended:
                    raise self._finding(f"stream {number} watches and was told nothing")
                continue
            if not seen.ended:
                raise self._finding(f"stream {number} was not answered")
            said = {name: value for part in seen.headers for name, value in part.items()}
            status = int(said[b":status"]), int(said.get(b"grpc-status", b"-1"))
            if status != call.status():
                raise self._finding(f"stream {number} was answered with {status}, not {call.status()}")
            path = next(value for name, value in call.headers if name == b":path").decode("latin-1")
            answer = prefixed(answer_of(path, call.body[5:])) if status == (200, 0) else b""
            if seen.body != answer:
                raise self._finding(f"stream {number} has another call's answer")

    def _judge_bodies(self) -> None:
        """Whatever h2 thinks: what was answered is what was sent on that stream."""
        bodies: dict[int, bytes] = {}
        for kind, flags, number, payload in frames_of(self.said):
            if kind == frames.DATA:
                padded = flags & frames.PADDED and payload
                part = payload[1 : len(payload) - payload[0]] if padded else payload
                bodies[number] = bodies.get(number, b"") + part
        for number, seen in self.seen.items():
            if not seen.body:
                continue
            body = bodies.get(number, b"")
            # Frames that came behind its end are not the call's.
            right = [prefixed(answer_of(path, body[5 : 5 + int.from_bytes(body[1:5])])) for path in METHODS]
            if not any(one.startswith(seen.body) for one in (_UNHEALTHY, *right)):
                raise self._finding(f"stream {number} was answered with what it did not ask")

    async def _end(self) -> None:
        """The connection ends, and nothing of it is left."""
        peer, server = self.peer, self.target.server
        if self.errors and self.peer.connection.closing and not peer.wire.closed:
            raise self._finding("a connection error that does not close")
        peer.connection.connection_lost(None)
        self.target.answers()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        left = {
            "streams": len(peer.connection.streams),
            "blocked": len(peer.connection.send.blocked),
            "partial": peer.connection._partial,
            "inside": server.inside,
            "queue": len(server._queue),
            "watchers": len(self.target.health.watchers),
            "connections": len(server.connections),
            "dirty": len([one for one in server.dirty if one is peer.connection]),
        }
        if any(left.values()):
            raise self._finding(f"left behind: {left}")
        if len(peer.connection._rest) > frames.MAX_FRAME_BYTES + frames.HEAD_BYTES:
            raise self._finding(f"{len(peer.connection._rest)} bytes wait for the rest of a frame")
        if self.target.failures:
            raise self._finding(f"a method failed: {self.target.failures}")
        self._next_is_served()

    def _next_is_served(self) -> None:
        healthy = Peer(server=self.target.server)
        message = self.seed.to_bytes(8)
        headers, body = healthy.answer(healthy.send(healthy.call(1, message, with_path(METHODS[0]))), 1)
        healthy.connection.connection_lost(None)
        if headers.get("grpc-status") != "0" or body != prefixed(answer_of(METHODS[0], message)):
            raise self._finding(f"the next connection got {headers} and {body!r}")

    def _finding(self, text: str) -> Finding:
        return Finding(f"seed {self.seed}: {text}; faults {self.faults}, h2 {self.oracle.refusal!r}")


async def fuzz(seeds: range, target: Target | None = None) -> Counter[str]:
    """A case of each seed, all of one server; how many of each kind there were. Raises Finding."""
    target, kinds = target or Target(), Counter[str]()
    for seed in seeds:
        kinds[await Case(target, seed).play()] += 1
    return kinds
