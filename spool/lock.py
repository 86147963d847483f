"""One appender for one directory: a lock that the kernel drops when its process dies."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

from spool.errors import SpoolError

if TYPE_CHECKING:
    from pathlib import Path

LOCK_NAME = "lock"


def acquire(directory: Path) -> int:
    """The file descriptor that holds the lock; closing it lets go. Raises SpoolError if it is taken."""
    fd = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(fd)
        raise SpoolError(
            f"spool {directory}: process {owner} appends to it already; "
            "stop that process or choose another directory"
        ) from error
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode("ascii"), 0)
    return fd
