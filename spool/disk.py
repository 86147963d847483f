"""The few system calls that durability rests on, and nothing else. All raise OSError."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# IOV_MAX of Linux.
_IOV_MAX = 1024
# What says that disk or file system are at fault, and not what was asked of them.
_BROKEN = frozenset(
    {errno.EIO, errno.EROFS, errno.EUCLEAN, errno.ENODEV, errno.ENXIO, errno.ESTALE, errno.EREMOTEIO}
)


def broken(error: OSError) -> bool:
    """Whether the disk itself has failed, so that nothing more may be promised."""
    return error.errno in _BROKEN


def make_directory(path: Path) -> None:
    """The directory (0700), with each parent that was missing, durable in the one above."""
    if path.is_dir():
        return
    make_directory(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    sync_directory(path.parent)


def create(path: Path) -> int:
    """A new file (0600), open for appending; fails if it is there."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)


def create_rewritable(path: Path) -> int:
    """A new file (0600), open for writing at any place; fails if it is there."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)


def write_all(fd: int, buffers: Sequence[bytes | memoryview]) -> None:
    """All the buffers, in order, in as few write calls as may be."""
    left = [memoryview(buffer) for buffer in buffers if buffer]
    first = 0
    while first < len(left):
        written = os.writev(fd, left[first : first + _IOV_MAX])
        while first < len(left) and written >= len(left[first]):
            written -= len(left[first])
            first += 1
        if written:
            left[first] = left[first][written:]


def sync_file(fd: int) -> None:
    """Content and size of the file are on the disk."""
    os.fdatasync(fd)


def sync_directory(path: Path) -> None:
    """Creations, renames and deletions in the directory are on the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def free_bytes(path: Path) -> int:
    """What an unprivileged process may still write on the directory's disk."""
    stat = os.statvfs(path)
    return stat.f_bavail * stat.f_frsize
