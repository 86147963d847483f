"""The body of a request: undone of its encoding, split into the statement and the data behind it.

Data go to an unnamed file beside the engine's own, mode 0600, so that fifty megabytes cost no memory. Long ones in a
format that tells a cut from an end go to the engine while they still come.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chserver.arrival import Rest, written
from chserver.compression import Decompressor
from chserver.errors import BAD_ARGUMENTS, BODY_TOO_LARGE, ClickHouseError
from chserver.flow import Flow
from chserver.statement import insert_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path
    from typing import IO

# A statement may be no longer; what follows in an INSERT's body is data.
STATEMENT_BYTES = 1 << 20
# Enough to see where an INSERT's data begin.
HEAD_BYTES = 1 << 16
_BATCH = 1 << 20
# Formats of one message behind its length: of a body that is cut off nothing is stored, wherever the cut is.
_TELLS_A_CUT = frozenset({b"ProtobufList"})
# Below it a file is as good.
_FLOW_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Body:
    """A statement and the file of its data, to be closed by whoever has it. `flow`: what fills the file, if it has yet
    to be filled while the statement runs.
    """

    statement: str
    data: IO[bytes] | None = None
    flow: Flow | None = None


async def decoded(stream: AsyncIterator[bytes], encoding: str, max_bytes: int) -> AsyncIterator[bytes]:
    """The stream without its Content-Encoding, in pieces. Raises ClickHouseError, also over `max_bytes`."""
    if encoding in {"", "identity"}:
        size = 0
        async for chunk in stream:
            size += len(chunk)
            if size > max_bytes:
                raise _too_large(max_bytes)
            if chunk:
                yield chunk
        return
    undo = Decompressor(encoding)
    size, batch = 0, bytearray()
    async for chunk in stream:
        for piece in undo.feed(chunk):
            size += len(piece)
            if size > max_bytes:
                raise _too_large(max_bytes)
            batch += piece
            if len(batch) >= _BATCH:
                yield bytes(batch)
                batch.clear()
    undo.finish()
    if batch:
        yield bytes(batch)


def _too_large(max_bytes: int) -> ClickHouseError:
    return ClickHouseError(BODY_TOO_LARGE, f"The body is larger than {max_bytes} bytes")


async def read(query: str, pieces: AsyncIterator[bytes], temporary: Path, rest: Rest | None = None) -> Body:
    """The statement in `query` and the pieces, which ClickHouse reads as one text. Raises ClickHouseError.

    `rest`: a shorter way to the pieces that have not been taken yet.
    """
    head = bytearray(f"{query.rstrip()}\n".encode() if query.strip() else b"")
    async for piece in pieces:
        head += piece
        insert = insert_of(bytes(head[:HEAD_BYTES])) if len(head) > HEAD_BYTES else None
        if insert is not None:
            statement, begin = _text(insert.statement), bytes(head[insert.data_at :])
            if rest and rest.left >= _FLOW_BYTES and insert.statement.split()[-1] in _TELLS_A_CUT:
                flow = Flow(begin, rest)
                return Body(statement, flow.file, flow)
            return await _spool(statement, begin, rest or pieces, temporary)
        if len(head) > STATEMENT_BYTES:
            raise ClickHouseError(BODY_TOO_LARGE, f"The statement is longer than {STATEMENT_BYTES} bytes")
    insert = insert_of(bytes(head))
    if insert is None:
        return Body(_text(bytes(head)))
    return await _spool(_text(insert.statement), bytes(head[insert.data_at :]), pieces, temporary)


async def _spool(statement: str, begin: bytes, more: AsyncIterator[bytes] | Rest, temporary: Path) -> Body:
    data = tempfile.TemporaryFile(dir=temporary, buffering=0)  # noqa: SIM115 - handed on to the caller
    try:
        written(data, begin)
        if isinstance(more, Rest):
            await more.into(data)
        else:
            async for piece in more:
                # Into the page cache: a thread would cost more than the write.
                written(data, piece)
    except BaseException:
        data.close()
        raise
    return Body(statement, data)


def _text(statement: bytes) -> str:
    try:
        return statement.decode()
    except UnicodeDecodeError as error:
        raise ClickHouseError(BAD_ARGUMENTS, f"The statement is not UTF-8: {error}") from error
