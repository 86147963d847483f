"""The HTTP side: a request in, a statement run in its lane, rows or an error out."""

from __future__ import annotations

import asyncio
import json
import tempfile
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from chserver import body, form, guard
from chserver.arrival import rest_of
from chserver.compression import chosen, compressor
from chserver.errors import UNKNOWN_EXCEPTION, ClickHouseError
from chserver.query import Query
from chserver.request import call_from
from chserver.request import query_id as query_id_of
from chserver.running import marker
from chserver.users import credentials

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable
    from typing import IO

    from starlette.requests import Request

    from chserver.engine import Outcome
    from chserver.flow import Flow
    from chserver.query import Answer
    from chserver.request import Call
    from chserver.running import Running
    from chserver.settings import ChServerSettings
    from chserver.users import Role, Users

_PIECE = 1 << 18
_MEDIA_TYPES = {
    "JSON": "application/json; charset=UTF-8",
    "JSONCompact": "application/json; charset=UTF-8",
    "JSONEachRow": "application/x-ndjson; charset=UTF-8",
    "CSV": "text/csv; charset=UTF-8; header=absent",
    "CSVWithNames": "text/csv; charset=UTF-8; header=present",
    "TabSeparated": "text/tab-separated-values; charset=UTF-8",
    "TSV": "text/tab-separated-values; charset=UTF-8",
    "Native": "application/octet-stream",
}


@dataclass(frozen=True, slots=True)
class Service:
    """What the routes need."""

    users: Users
    running: Running
    settings: ChServerSettings

    async def query(self, request: Request) -> Response:
        """`/`: run the statement in the URL and the body."""
        query_id = ""
        try:
            guard.check(request.headers, self.settings.allowed_hosts)
            params = dict(parse_qsl(request.url.query, keep_blank_values=True))
            query_id = query_id_of(params)
            role = self.users.role(*credentials(request.headers, params))
            call, asked = await self._asked(request, role, params)
            query_id = call.query_id
            return await self._run(request, role, call, asked)
        except ClickHouseError as error:
            return self._failure(error, query_id)

    async def failed(self, _: Request, __: Exception) -> Response:
        """The answer to a request that met a bug of ours; the log has it."""
        return self._failure(
            ClickHouseError(UNKNOWN_EXCEPTION, "Internal error; chserver's log tells more"), ""
        )

    async def _asked(self, request: Request, role: Role, params: dict[str, str]) -> tuple[Call, body.Body]:
        # Only an INSERT has a long body, and a reader has none.
        most = self.settings.max_body_bytes if role == "writer" else body.STATEMENT_BYTES
        encoding = request.headers.get("content-encoding", "")
        pieces = body.decoded(request.stream(), encoding, most)
        kind = request.headers.get("content-type", "")
        if kind.lower().startswith("multipart/form-data"):
            params = params | form.fields(kind, b"".join([piece async for piece in pieces]))
            call = call_from(params, request.headers)
            return call, body.Body(call.query)
        call = call_from(params, request.headers)
        rest = rest_of(request.scope) if encoding in {"", "identity"} else None
        if rest and rest.size > most:
            # Refused where it has become too long, as any other.
            rest = None
        return call, await body.read(call.query, pieces, self.running.engine.temporary, rest)

    async def _run(self, request: Request, role: Role, call: Call, asked: body.Body) -> Response:
        query = Query(call, asked.statement, role, request.method != "POST", marker(), asked.data)
        rows = tempfile.TemporaryFile(dir=self.running.engine.temporary)  # noqa: SIM115 - sent after this returns
        try:
            answer = await _fed(asked.flow, self.running.run(query, rows, partial(_gone, request)))
        except Exception:
            _close(rows, asked.data)
            raise
        # Not when this request is cancelled: the engine opens the files by their numbers, which must not
        # be given to other files before it has. They go with the last reference to them, the query's.
        _close(asked.data)
        return self._success(rows, answer, call, request.headers.get("accept-encoding", ""))

    def _success(self, rows: IO[bytes], answer: Answer, call: Call, accepted: str) -> Response:
        size = rows.seek(0, 2)
        rows.seek(0)
        encoding = chosen(accepted) if call.compressed else ""
        length = {"Content-Encoding": encoding} if encoding else {"Content-Length": str(size)}
        headers = {
            **self._headers(call.query_id),
            **length,
            "Content-Type": _MEDIA_TYPES.get(answer.form, "text/plain; charset=UTF-8"),
            **({"X-ClickHouse-Format": answer.form} if answer.form else {}),
            "X-ClickHouse-Summary": summary(answer.outcome, size),
        }
        return StreamingResponse(_pieces(rows, encoding), headers=headers)

    def _failure(self, error: ClickHouseError, query_id: str) -> Response:
        return PlainTextResponse(
            error.text(self.running.engine.version),
            status_code=error.status,
            headers={**self._headers(query_id), "X-ClickHouse-Exception-Code": str(error.code)},
        )

    def _headers(self, query_id: str) -> dict[str, str]:
        return {
            **guard.ANSWER_HEADERS,
            "X-ClickHouse-Server-Display-Name": "gateledger",
            "X-ClickHouse-Query-Id": query_id,
            "X-ClickHouse-Timezone": self.running.engine.timezone,
        }


def application(service: Service) -> Starlette:
    """The routes."""
    return Starlette(
        routes=[Route("/", service.query, methods=["GET", "POST"]), Route("/ping", _ping)],
        exception_handlers={404: _no_route, Exception: service.failed},
    )


def summary(outcome: Outcome, result_bytes: int) -> str:
    """X-ClickHouse-Summary: counts as the engine gave them, numbers as strings, as ClickHouse has them."""
    counts = {
        "read_rows": outcome.read_rows,
        "read_bytes": outcome.read_bytes,
        "written_rows": outcome.written_rows,
        "written_bytes": outcome.written_bytes,
        "total_rows_to_read": outcome.read_rows,
        "result_rows": outcome.result_rows,
        "result_bytes": result_bytes,
        "elapsed_ns": outcome.elapsed_ns,
    }
    return json.dumps({name: str(count) for name, count in counts.items()}, separators=(",", ":"))


def _close(*files: IO[bytes] | None) -> None:
    for file in files:
        if file is not None:
            file.close()


async def _pieces(rows: IO[bytes], encoding: str) -> AsyncIterator[bytes]:
    squeeze = compressor(encoding)
    with rows:
        while piece := rows.read(_PIECE):
            if packed := squeeze.compress(piece):
                yield packed
    if last := squeeze.flush():
        yield last


async def _fed(flow: Flow | None, running: Awaitable[Answer]) -> Answer:
    """The answer of a query whose data come while it runs."""
    if flow is None:
        return await running
    feeding = asyncio.create_task(flow.feed())
    try:
        return await running
    except asyncio.CancelledError:
        # The engine still reads: it finds the end now.
        feeding.cancel()
        raise
    finally:
        if not feeding.cancelling():
            flow.over()
        # A client that has gone needs no answer: whatever it was, it was looked at.
        await asyncio.gather(feeding, return_exceptions=True)


async def _gone(request: Request) -> None:
    """Ends when the client closes the connection. The body has been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _ping(_: Request) -> Response:
    return PlainTextResponse("Ok.\n")


async def _no_route(request: Request, _: Exception) -> Response:
    return PlainTextResponse(
        f"There is no handle {request.url.path}\n\nUse / or /ping for health checks.\n", status_code=404
    )
