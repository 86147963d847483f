"""What can go wrong with a spool.

* SpoolError: the spool cannot be used, or a segment is damaged
  * SpoolFull: no room now; try again when the reader has deleted segments or the disk has space
"""

from __future__ import annotations


class SpoolError(Exception):
    """The message says what, where, why and what to do."""


class SpoolFull(SpoolError):  # noqa: N818  # a state of the spool, not a fault
    """The record was not taken: the spool's limit or the disk's reserve is reached."""
