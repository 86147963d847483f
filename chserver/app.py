"""The HTTP side: a request in, a statement run in its lane, an answer or an error out."""

from __future__ import annotations

import asyncio
import json
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from chserver.compression import Decompressor, chosen, compressor
from chserver.errors import QUERY_IS_TOO_LARGE, ClickHouseError
from chserver.query import Answer, Query, answer
from chserver.request import Call, call_from
from chserver.statement import insert_of
from chserver.users import credentials

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from typing import IO

    from starlette.requests import Request

    from chserver.engine import Engine, Outcome
    from chserver.settings import ChServerSettings
    from chserver.users import Users

# A statement may be no longer; what follows in an INSERT's body is data.
STATEMENT_BYTES = 1 << 20
PIECE = 1 << 18


@dataclass(frozen=True, slots=True)
class Service:
    engine: Engine
    users: Users
    settings: ChServerSettings
    lane: ThreadPoolExecutor

    async def query(self, request: Request) -> Response:
        params = dict(parse_qsl(request.url.query, keep_blank_values=True))
        call = None
        try:
            role = self.users.role(*credentials(request.headers, params))
            call = call_from(params, request.headers)
            statement, data = await self.body(request, call)
            query = Query(call, statement, role, request.method != "POST", data)
            loop = asyncio.get_running_loop()
            found = await loop.run_in_executor(self.lane, answer, self.engine, query, {})
        except ClickHouseError as error:
            return self.failure(error, call)
        return self.success(found, call, request.headers)

    async def body(self, request: Request, call: Call) -> tuple[str, IO[bytes] | None]:
        head = call.query.rstrip().encode()
        begin = head + b"\n" if head else b""
        undo = Decompressor(request.headers.get("content-encoding", ""))
        size = 0
        data: IO[bytes] | None = None
        buffer = bytearray(begin)
        async for chunk in request.stream():
            for piece in undo.feed(chunk):
                size += len(piece)
                if size > self.settings.max_body_bytes:
                    raise ClickHouseError(QUERY_IS_TOO_LARGE, f"The body is larger than {self.settings.max_body_bytes} bytes (chserver.max_body_bytes)")
                if data is not None:
                    data.write(piece)
                    continue
                buffer += piece
            if data is None and len(buffer) > STATEMENT_BYTES:
                insert = insert_of(bytes(buffer[:STATEMENT_BYTES]))
                if insert is None:
                    continue
                data = self.file(bytes(buffer[insert.data_at :]))
        undo.finish()
        insert = insert_of(bytes(buffer[:STATEMENT_BYTES]))
        if insert is None:
            return buffer.decode(), None
        if data is None:
            data = self.file(bytes(buffer[insert.data_at :]))
        data.flush()
        return insert.statement.decode(), data

    def file(self, begin: bytes) -> IO[bytes]:
        file = tempfile.TemporaryFile(dir=self.engine.temporary)
        file.write(begin)
        return file

    def headers(self, call: Call | None) -> dict[str, str]:
        return {
            "X-ClickHouse-Server-Display-Name": "gateledger",
            "X-ClickHouse-Query-Id": call.query_id if call else "",
            "X-ClickHouse-Timezone": self.engine.timezone,
        }

    def failure(self, error: ClickHouseError, call: Call | None) -> Response:
        return PlainTextResponse(
            error.text(self.engine.version),
            status_code=error.status,
            headers={**self.headers(call), "X-ClickHouse-Exception-Code": str(error.code)},
        )

    def success(self, found: Answer, call: Call, headers: Mapping[str, str]) -> Response:
        encoding = chosen(headers.get("accept-encoding", "")) if call.compressed else ""
        answered = {
            **self.headers(call),
            "X-ClickHouse-Format": found.form,
            "X-ClickHouse-Summary": summary(found.outcome),
            **({"Content-Encoding": encoding} if encoding else {}),
        }
        return StreamingResponse(_pieces(found.rows, encoding), headers=answered, media_type="text/plain; charset=UTF-8")


async def _pieces(rows: IO[bytes], encoding: str) -> AsyncIterator[bytes]:
    squeeze = compressor(encoding)
    with rows:
        while piece := rows.read(PIECE):
            if packed := squeeze.compress(piece):
                yield packed
    if last := squeeze.flush():
        yield last


def summary(outcome: Outcome) -> str:
    return json.dumps(
        {
            "read_rows": str(outcome.read_rows),
            "read_bytes": str(outcome.read_bytes),
            "written_rows": str(outcome.written_rows),
            "written_bytes": str(outcome.written_bytes),
            "total_rows_to_read": "0",
            "result_rows": str(outcome.result_rows),
            "result_bytes": "0",
            "elapsed_ns": str(outcome.elapsed_ns),
        }
    )


async def ping(_: Request) -> Response:
    return PlainTextResponse("Ok.\n")


def application(service: Service) -> Starlette:
    return Starlette(routes=[Route("/ping", ping), Route("/", service.query, methods=["GET", "POST"])])
