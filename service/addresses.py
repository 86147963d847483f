"""Addresses of servers, unix:PATH or HOST:PORT: which are good, which are taken, and sockets that listen on them."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from service import probes
from service.probes import AddressError

if TYPE_CHECKING:
    from collections.abc import Iterator

UNIX = "unix:"
# sockaddr_un.sun_path of Linux, without its closing NUL.
UNIX_PATH_BYTES = 107
# Rights that a new socket file must not have: it ends up 0600.
SOCKET_UMASK = 0o177

_BACKLOG = 512


def check_address(address: str) -> None:
    """Refuse what is neither unix:PATH nor HOST:PORT. Touches nothing. Raises AddressError."""
    if address.startswith(UNIX):
        path = address.removeprefix(UNIX)
        if not path.startswith("/"):
            raise AddressError(f"cannot listen on {address}: the path is not absolute; use unix:/PATH")
        if len(os.fsencode(path)) > UNIX_PATH_BYTES:
            raise AddressError(
                f"cannot listen on {address}: the path is longer than {UNIX_PATH_BYTES} bytes, "
                "Linux's limit for sockets; choose a shorter home"
            )
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise AddressError(f"cannot listen on {address!r}: use unix:/PATH or HOST:PORT")


def prepare_unix(address: str) -> None:
    """Make way for a socket at unix:PATH: its directory (0700) is there, a dead process's file is gone.

    Does nothing for HOST:PORT. Raises AddressError when a living process listens there, when
    something else than a socket is in the way, or when the directory cannot be written.
    """
    check_address(address)
    if not address.startswith(UNIX):
        return
    path = Path(address.removeprefix(UNIX))
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.path.lexists(path):
            return
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise AddressError(f"cannot listen on {address}: the file is no socket; move it away")
        if _alive(path):
            raise AddressError(
                f"cannot listen on {address}: another process listens there; stop it or choose another path"
            )
        path.unlink(missing_ok=True)
    except OSError as error:
        raise AddressError(f"cannot listen on {address}: {error}") from error


def of_this_machine(address: str) -> bool:
    """Whether only this machine can reach an address: a unix socket, or one of loopback."""
    if address.startswith(UNIX):
        return True
    host = address.rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listener(address: str) -> tuple[socket.socket, str]:
    """A listening socket, and its address with the real port. Raises AddressError when it is taken."""
    if not address.startswith(UNIX):
        made = probes.bind(address)
        return made, f"{address.rpartition(':')[0]}:{made.getsockname()[1]}"
    prepare_unix(address)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with umask(SOCKET_UMASK):
            made.bind(address.removeprefix(UNIX))
        made.listen(_BACKLOG)
    except OSError as error:
        made.close()
        raise AddressError(f"cannot listen on {address}: {error}") from error
    return made, address


def _alive(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(os.fspath(path))
        except TimeoutError:
            # A listener with a full backlog is busy, not dead.
            return True
        except OSError as error:
            if error.errno in {errno.ECONNREFUSED, errno.ENOENT}:
                return False
            raise
    return True


@contextlib.contextmanager
def umask(mask: int) -> Iterator[None]:
    """New files have none of these rights while the block runs."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)
