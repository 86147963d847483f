"""HOME: where one stack keeps its state. One stack a home; nobody else reads in it."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from gateledger.files import write_private
from service.addresses import UNIX_PATH_BYTES

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType


class HomeError(Exception):
    """A home that cannot be used; the message says which, why and what to do."""


@dataclass(slots=True)
class Home:
    """The paths below HOME, and the lock that one running stack holds."""

    root: Path
    _lock: int | None = None

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def log(self) -> Path:
        return self.root / "log"

    @property
    def ready_file(self) -> Path:
        return self.run / "ready.json"

    @property
    def settings_file(self) -> Path:
        return self.run / "settings.json"

    @property
    def bootstrap_file(self) -> Path:
        return self.run / "envoy.json"

    @property
    def admin_socket(self) -> Path:
        return self.run / "envoy-admin.sock"

    def __enter__(self) -> Self:
        """Make the home ready and hold its lock. Raises HomeError."""
        longest = str(self.admin_socket)
        if len(longest.encode()) > UNIX_PATH_BYTES:
            raise HomeError(
                f"{self.root}: too long for unix sockets ({longest} has {len(longest.encode())} bytes, "
                f"at most {UNIX_PATH_BYTES} are possible); choose a shorter --home"
            )
        try:
            for directory in (self.root, self.run, self.log, self.root / "spool", self.root / "secrets"):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                directory.chmod(0o700)
            self._lock = os.open(self.run / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise HomeError(
                f"{self.root}: cannot be used: {error.strerror}; choose another --home"
            ) from error
        self._hold(self._lock)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ready_file.unlink(missing_ok=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _hold(self, lock: int) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(lock, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(lock)
            self._lock = None
            raise HomeError(
                f"{self.root}: in use by another `gateledger up` (process {holder}); "
                "stop that one or choose another --home"
            ) from error
        try:
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            os.close(lock)
            self._lock = None
            raise HomeError(f"{self.root}: cannot be written: {error.strerror}") from error

    def ensure_secret(self, path: Path) -> None:
        """A random password in `path` (0600), unless one is there."""
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(path, secrets.token_urlsafe(32).encode() + b"\n")

    def write_json(self, path: Path, content: object) -> None:
        """Replace a file below HOME at once: a reader sees the old content or the new."""
        write_private(path, (json.dumps(content, indent=2) + "\n").encode())


def read_ready(home: Path) -> dict[str, Any]:
    """What ready.json of a running stack says. Raises HomeError when none runs there."""
    path = home / "run" / "ready.json"
    if not _is_held(home / "run" / "lock"):
        raise HomeError(f"{home}: no stack runs here; start one with `gateledger up`, or name its --home")
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise HomeError(f"{home}: the stack here is starting or stopping; try again in a moment") from error
    except (OSError, ValueError) as error:
        raise HomeError(f"{path}: cannot be read: {error}") from error
    return content


def _is_held(lock: Path) -> bool:
    """Whether a stack holds the lock. What a killed one left behind must not be taken for one that runs."""
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
