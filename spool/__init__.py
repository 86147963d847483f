"""A durable queue on disk: one process appends, another reads and deletes. Standard library only.

Invariants; the tests carry their names:

1. A future of `Appender.append` that resolves without an error means: the record survives the loss
   of power. A future that fails means: the record is not promised, and may or may not be read.
2. Every durable record is read at least until its segment is deleted, once per reading, and in the
   order of the calls to `append` (of one thread).
3. Nothing is read that was not appended: headers and bodies carry checksums, and a record of
   another segment, or at another place, is not taken for a record.
4. Recovery cuts off nothing but a torn tail of the one unsealed segment: bytes after its last valid
   record. Damage before that stays, and is reported with file and offset.
5. A sealed segment never changes until its deletion is durable, and never while anybody keeps it by a
   link or elsewhere. It is read whole or reported: its seal counts its records.
6. One directory has one appender; a second one is refused.
7. An error of fsync is final: what it left on the disk is unknown, so the appender fails for good
   and never tries again.
8. A full spool refuses; it never overwrites, and it works again once space has returned.

Records are opaque: `origin` says where a record comes from, `payload` is its content.
"""

from spool.appender import Appender
from spool.disk import sync_directory
from spool.errors import SpoolError, SpoolFull
from spool.format import Damage, Record
from spool.recovery import Recovered
from spool.segment import Segment, Usage, delete, sealed_segments, usage

__all__ = [
    "Appender",
    "Damage",
    "Record",
    "Recovered",
    "Segment",
    "SpoolError",
    "SpoolFull",
    "Usage",
    "delete",
    "sealed_segments",
    "sync_directory",
    "usage",
]
