"""The parts put together and served until a signal: start, drain, stop."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import math
import signal
from typing import TYPE_CHECKING

import uvicorn

from chserver import merges
from chserver.allowlist import Rules
from chserver.app import Service, application
from chserver.arrival import Protocol
from chserver.lane import Lane
from chserver.query import Reading
from chserver.running import Running
from chserver.users import Users

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from chserver.engine import Engine
    from chserver.settings import ChServerSettings

# Writers' statements that run at once. More wait, for ever: a writer is never turned away.
_WRITERS = 4
_END_SECONDS = 5
# A reader's query can be stopped between two blocks only, so its blocks are small; an eighth of the engine's own.
_BLOCK_ROWS = 8192
# What range() may make in one block, all rows together.
_RANGE_ELEMENTS = 1_000_000
# Of a query once its WITH are put in, which can double it with each; the engine has ten times that.
_TREE_NODES = 50_000


class StartError(Exception):
    """Settings or secrets with which chserver cannot start. The message says what to do."""


def users_of(settings: ChServerSettings) -> Users:
    """The two users. Raises StartError when the writer has no password."""
    file = settings.writer_password_file
    if file is None:
        raise StartError(
            "chserver.writer_password_file: is not set; name the file with the writer's password"
        )
    try:
        password = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StartError(
            f"{file}: the writer's password cannot be read: {error}; write one, mode 0600"
        ) from error
    if not password:
        raise StartError(f"{file}: the writer's password is empty; write one, mode 0600")
    return Users(settings.writer_user, password, settings.reader_user)


def loopback(listen: str) -> None:
    """Raises StartError for an address that other machines can reach."""
    host = listen.rpartition(":")[0].strip("[]")
    with contextlib.suppress(ValueError):
        if host == "localhost" or ipaddress.ip_address(host).is_loopback:
            return
    raise StartError(
        f"chserver.listen: {listen} is not loopback, and chserver has neither TLS nor a password for the reader; "
        "use 127.0.0.1:PORT here, and a ClickHouse server where other machines must reach it"
    )


def reading_of(settings: ChServerSettings) -> Reading:
    """What bounds a reader's query."""
    # A share for each that may run: what readers take together must not end the process that holds the ledger.
    # The engine has one user, so max_memory_usage_for_user would count the writer's memory too.
    share = settings.reader_max_memory_bytes // settings.reader_concurrency
    bounds = {
        "max_block_size": _BLOCK_ROWS,
        "max_execution_time": settings.reader_max_seconds,
        "max_memory_usage": share,
        "max_result_bytes": settings.reader_max_result_bytes,
        "max_result_rows": settings.reader_max_result_bytes,
        "max_threads": settings.reader_max_threads,
    }
    return Reading(
        Rules(bounds),
        {
            **{name: f"{bound:.15g}" for name, bound in bounds.items()},
            "allow_introspection_functions": "0",
            "function_range_max_elements_in_block": str(_RANGE_ELEMENTS),
            "max_expanded_ast_elements": str(_TREE_NODES),
            "max_temporary_data_on_disk_size_for_query": str(share),
            "result_overflow_mode": "throw",
            "timeout_overflow_mode": "throw",
            # Off: it would turn queries away on a guess before they have begun.
            "timeout_before_checking_execution_speed": "0",
        },
    )


def service_of(engine: Engine, users: Users, settings: ChServerSettings) -> Service:
    """All parts, put together."""
    running = Running(
        engine,
        Lane("writer", _WRITERS, 1_000_000),
        Lane("reader", settings.reader_concurrency, settings.reader_waiting),
        reading_of(settings),
        settings.reader_max_result_bytes,
    )
    return Service(users, running, settings)


async def serve(service: Service, listener: socket.socket, tell: Callable[[str], object]) -> bool:
    """Serve until SIGTERM or SIGINT, then drain. Whether everything that ran has ended. `tell`: of the merges."""
    config = uvicorn.Config(
        application(service),
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        http=Protocol,
        server_header=False,
        timeout_keep_alive=60,
        timeout_graceful_shutdown=math.ceil(service.settings.drain_seconds),
    )
    server = uvicorn.Server(config)
    # uvicorn raises the signal again after its end, which would make the exit code that of a kill.
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, setattr, server, "should_exit", True)
    running = service.running
    calm = asyncio.create_task(merges.tended(running.engine.merges, running.writers.load, tell))
    await server.serve(sockets=[listener])
    calm.cancel()
    return await _ended(service.running)


async def _ended(running: Running) -> bool:
    running.writers.close()
    running.readers.close()
    if running.readers.taken:
        await running.stop_reading()
    try:
        await asyncio.wait_for(asyncio.gather(running.writers.idle(), running.readers.idle()), _END_SECONDS)
    except TimeoutError:
        return False
    return True
