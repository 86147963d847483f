"""The reading side: sealed segments, oldest first, each read whole and then deleted."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spool import disk
from spool import format as wire
from spool.errors import SpoolError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

SEALED = ".seg"
OPEN = ".open"
# Time of the first record in unix ns, and the segment's salt.
_NAME = re.compile(r"[0-9]{20}-[0-9a-f]{16}\.(seg|open)")
_HINT = "`salvage` reads what is whole"


@dataclass(frozen=True, slots=True)
class Usage:
    """What a spool holds. `oldest`: when its oldest record came, in seconds since 1970; None if empty."""

    bytes: int
    segments: int
    oldest: float | None


@dataclass(frozen=True, slots=True)
class Segment:
    """A sealed segment. Its file does not change until its reader deletes it; nobody else does."""

    path: Path

    @property
    def name(self) -> str:
        """Unique for ever; names sort by age."""
        return self.path.stem

    def records(self) -> Iterator[wire.Record]:
        """The records in order.

        Raises SpoolError with file and offset at the first damage; what came before it is sound.
        """
        for item in self.salvage():
            if isinstance(item, wire.Damage):
                raise SpoolError(f"{self.path}: offset {item.offset}: {item.cause}; {_HINT}")
            yield item

    def salvage(self, *, views: bool = False) -> Iterator[wire.Record | wire.Damage]:
        """As `records`, but damage is an item in its place, and reading goes on behind it. `views`: payloads are
        not copied, and hold the whole segment in memory.

        Raises SpoolError when the file cannot be read at all.
        """
        data = self.read()
        holds = wire.holder(data)
        if holds not in {None, self.name}:
            # Its records are that one's, and read there.
            yield wire.Damage(0, len(data), f"the file holds another segment, {holds}")
            return
        sealed = False
        for item in wire.scan(data, views=views):
            if isinstance(item, wire.Found):
                yield item.record
            elif isinstance(item, wire.Damage):
                yield item
            else:
                sealed = True
        if not sealed:
            yield wire.Damage(len(data), 0, "the segment ends without its seal")

    def read(self) -> bytes:
        """The bytes of the file as they are. Raises SpoolError, also when it was deleted in the meantime."""
        try:
            data = self.path.read_bytes()
            # A deleted file may be written over. While its name is there it was not, and no name comes again.
            self.path.stat()
        except OSError as error:
            raise SpoolError(f"{self.path}: cannot be read: {error.strerror or error}") from error
        return data

    def size(self) -> int:
        """Bytes of the file; 0 when it is gone. Raises SpoolError."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise SpoolError(f"{self.path}: cannot be read: {error.strerror or error}") from error

    def delete(self) -> None:
        """Gone for good, also after the loss of power; nothing happens if it is gone. Raises SpoolError."""
        delete((self,))


def delete(segments: Sequence[Segment]) -> None:
    """The segments of one spool are gone for good, with one fsync for all. Raises SpoolError."""
    for segment in segments:
        try:
            segment.path.unlink(missing_ok=True)
        except OSError as error:
            raise SpoolError(f"{segment.path}: cannot be deleted: {error.strerror or error}") from error
    for directory in {segment.path.parent for segment in segments}:
        try:
            disk.sync_directory(directory)
        except OSError as error:
            raise SpoolError(f"{directory}: cannot be made durable: {error.strerror or error}") from error


def created_ns(name: str) -> int:
    """The time in a segment's name, unix ns."""
    return int(name.partition("-")[0])


def sealed_segments(directory: Path) -> list[Segment]:
    """All sealed segments, oldest first; none when the directory is not there. Raises SpoolError."""
    return [Segment(directory / name) for name in _names(directory) if name.endswith(SEALED)]


def usage(directory: Path) -> Usage:
    """Bytes and segments in the spool, the open one included. Raises SpoolError."""
    sizes: dict[str, int] = {}
    for name in _names(directory):
        try:
            sizes[name] = (directory / name).stat().st_size
        except FileNotFoundError:
            # Sealed or deleted between the listing and the look.
            continue
        except OSError as error:
            raise SpoolError(f"{directory / name}: cannot be read: {error.strerror or error}") from error
    oldest = created_ns(min(sizes)) / 1e9 if sizes else None
    return Usage(sum(sizes.values()), len(sizes), oldest)


def segment_names(directory: Path) -> list[str]:
    """File names of segments, sealed and open, by age; other files are not ours. Raises OSError."""
    with os.scandir(directory) as entries:
        return sorted(entry.name for entry in entries if _NAME.fullmatch(entry.name))


def _names(directory: Path) -> list[str]:
    try:
        return segment_names(directory)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise SpoolError(f"spool {directory}: cannot be read: {error.strerror or error}") from error
