"""Where each worker listens: the settings' addresses for worker 0, their neighbours for the others. Pure."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from service.addresses import UNIX

if TYPE_CHECKING:
    from collections.abc import Sequence

_LAST_PORT = 65535


def of_worker(listen: Sequence[str], worker: int) -> tuple[str, ...]:
    """The addresses of one worker: unix:/run/extauthz-1.sock beside unix:/run/extauthz.sock, port 9001 beside 9000."""
    return tuple(_neighbour(address, worker) for address in listen)


def of_all(listen: Sequence[str], workers: int) -> tuple[str, ...]:
    """Every address that Envoy may ask, worker by worker."""
    return tuple(address for worker in range(workers) for address in of_worker(listen, worker))


def problem(listen: Sequence[str], workers: int) -> str | None:
    """Why so many workers cannot listen there; None when they can."""
    every = [address for address in of_all(listen, workers) if not address.endswith(":0")]
    for address in every:
        port = "" if address.startswith(UNIX) else address.rpartition(":")[2]
        if port.isdecimal() and int(port) > _LAST_PORT and workers > 1:
            return f"worker {workers - 1} would listen on {every[-1]}, beyond port {_LAST_PORT}"
    twice = sorted({address for address in every if every.count(address) > 1})
    if twice and workers > 1:
        return f"two of {workers} workers would listen on {twice[0]}; set addresses that are further apart"
    return None


def _neighbour(address: str, worker: int) -> str:
    if worker == 0:
        return address
    if address.startswith(UNIX):
        path = PurePosixPath(address.removeprefix(UNIX))
        return f"{UNIX}{path.with_name(f'{path.stem}-{worker}{path.suffix}')}" if path.name else address
    host, _, port = address.rpartition(":")
    # Port 0 is any free one, for each of them.
    return f"{host}:{int(port) + worker}" if port.isdecimal() and int(port) else address
