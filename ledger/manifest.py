"""Which segments make which batches, written down before the first try: `manifest` in each spool.

Invariants; the tests carry their names:

1. What is frozen is durable when `freeze` returns, and no batch is sent before that.
2. A line that was torn by a crash was not frozen: it is the last one, and is cut off.
3. A frozen plan stays until it is done: after a restart the same segments make the same batches.
4. A plan is done, durably, before the first of its segments is deleted; so a segment that is missing
   from a plan that is not done is an accident, and is told.

A line is the CRC-32 of its JSON, eight hex digits, a blank, and the JSON: {"frozen": {...}} or
{"done": name of the plan}.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any
from zlib import crc32

from ledger.errors import StuckError
from spool import sync_directory

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ledger.plan import Batch, Limits

NAME = "manifest"
# A file that has grown so large is written anew, with the plans that are not done.
_COMPACT_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Frozen:
    """A plan: its segments in order, its batches and rows, and the digest of all that will be sent.

    `name`: of its first segment, which its batches' ids begin with.
    """

    name: str
    segments: tuple[str, ...]
    batches: int
    rows: int
    digest: str
    # What a batch might hold when it was planned (ledger/plan.py): another limit makes other batches.
    max_rows: int
    max_bytes: int

    @property
    def ids(self) -> list[str]:
        """Of its batches."""
        return [f"{self.name}.{number}" for number in range(self.batches)]


def frozen(segments: Sequence[str], batches: Sequence[Batch], limits: Limits) -> Frozen:
    """The plan that these segments and batches are. Pure."""
    said = hashlib.sha256()
    for batch in batches:
        source = batch.source
        about = [batch.id, source.kind, source.node, source.log_name, batch.received_at, batch.rows]
        said.update(json.dumps([*about, batch.sha256]).encode())
    rows = sum(batch.rows for batch in batches)
    return Frozen(
        segments[0], tuple(segments), len(batches), rows, said.hexdigest(), limits.rows, limits.bytes
    )


class Manifest:
    """The manifest of one spool. Safe for threads. Raises OSError where the disk does, StuckError where it
    was damaged.
    """

    def __init__(self, directory: Path) -> None:
        self._file = directory / NAME
        self._lock = threading.Lock()
        self._open, self._finished, self._size = self._read()

    @property
    def open(self) -> tuple[Frozen, ...]:
        """The plans that are not done, oldest first."""
        with self._lock:
            return tuple(self._open.values())

    @property
    def finished(self) -> tuple[Frozen, ...]:
        """Plans that were done when the file was read, as far as it goes back."""
        return self._finished

    def freeze(self, plan: Frozen) -> None:
        """Write the plan down, durably; a plan of the same name is replaced."""
        with self._lock:
            self._append({"frozen": asdict(plan)})
            self._open[plan.name] = plan

    def done(self, name: str) -> None:
        """The plan of this name is stored and booked, durably: its segments may be deleted now."""
        with self._lock:
            self._append({"done": name})
            self._open.pop(name, None)
            if self._size > _COMPACT_BYTES:
                self._compact()

    def _append(self, said: dict[str, Any]) -> None:
        created = not self._file.exists()
        fd = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            line = _line(said)
            try:
                _write(fd, line)
            except OSError:
                # Half a line would be damage once another follows it.
                os.ftruncate(fd, self._size)
                raise
            os.fdatasync(fd)
        finally:
            os.close(fd)
        if created:
            sync_directory(self._file.parent)
        self._size += len(line)

    def _compact(self) -> None:
        part = self._file.with_suffix(".part")
        content = b"".join(_line({"frozen": asdict(plan)}) for plan in self._open.values())
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            _write(fd, content)
            os.fdatasync(fd)
        finally:
            os.close(fd)
        part.replace(self._file)
        sync_directory(self._file.parent)
        self._size = len(content)

    def _read(self) -> tuple[dict[str, Frozen], tuple[Frozen, ...], int]:
        """The plans that are open, those that are done, and the bytes of the file."""
        content = b""
        with suppress(FileNotFoundError):
            content = self._file.read_bytes()
        found: dict[str, Frozen] = {}
        done: list[Frozen] = []
        lines = content.splitlines(keepends=True)
        for number, line in enumerate(lines, 1):
            said = _said(line)
            if said is None:
                if number < len(lines):
                    raise StuckError(
                        f"{self._file}: line {number} is damaged; look into audit.batches for which of the "
                        "spool's segments are stored, then delete the file"
                    )
                # Torn by a crash: it was never acted upon.
                os.truncate(self._file, len(content) - len(line))
                return found, tuple(done), len(content) - len(line)
            if "frozen" in said:
                plan = Frozen(**{**said["frozen"], "segments": tuple(said["frozen"]["segments"])})
                found[plan.name] = plan
            elif plan_done := found.pop(said["done"], None):
                done.append(plan_done)
        return found, tuple(done), len(content)


def _line(said: dict[str, Any]) -> bytes:
    text = json.dumps(said, separators=(",", ":")).encode()
    return b"%08x %s\n" % (crc32(text), text)


def _said(line: bytes) -> dict[str, Any] | None:
    """What a line says; None when it is torn or damaged."""
    if not line.endswith(b"\n") or line[:8] != b"%08x" % crc32(line[9:-1]):
        return None
    said: dict[str, Any] = json.loads(line[9:-1])
    return said


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
