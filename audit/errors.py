"""What can go wrong when a question is asked.

AuditError
  x CatalogueError   a .sql file that does not say what it must
  x ParameterError   a value that does not fit its parameter
  x Unreachable      ClickHouse does not answer
  x Refused          ClickHouse answered: no
Every message says what, where, why and what to do, and may hold text that others chose: escape it for a terminal.
"""

from __future__ import annotations


class AuditError(Exception):
    """A question that got no answer; the message is for people."""


class CatalogueError(AuditError):
    """A query file that cannot be used."""


class ParameterError(AuditError):
    """A parameter that is missing, unknown or does not fit its type."""


class Unreachable(AuditError):  # noqa: N818 - reads as what it says
    """ClickHouse does not answer at its address."""


class Refused(AuditError):  # noqa: N818 - reads as what it says
    """ClickHouse refused or broke off the query: not allowed, not valid, too big or too slow."""
