"""One writer a home: a lock that the kernel drops when its process dies."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class LockError(Exception):
    """Another writer works on this home, or the lock's file cannot be made. The message says which."""


def acquire(file: Path) -> int:
    """The file descriptor that holds the lock; closing it lets go. Raises LockError."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise LockError(f"{file}: cannot be made: {error.strerror}; choose another --home") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(fd)
        raise LockError(
            f"{file}: process {owner} writes this home's ledger already; stop it, or choose another --home"
        ) from error
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode("ascii"), 0)
    return fd
