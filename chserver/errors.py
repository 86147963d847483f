"""Errors in ClickHouse's own form, and the HTTP status that ClickHouse answers for each code.

ClickHouseError    a refusal or a failure that the client sees: `Code: 60. DB::Exception: … (UNKNOWN_TABLE)`
  denied           one for a reader who asks for too much
  from_engine      one out of a message of the engine
"""

from __future__ import annotations

import re

_MESSAGE = re.compile(r"Code: (\d{1,9})\. (?:DB::)?\w{0,100}Exception: (.*)", re.DOTALL)
_NAME = re.compile(r"\(([A-Z][A-Z0-9_]{1,100})\)$")
_VERSION = re.compile(r" ?\(version [0-9.]{1,100}[^()]{0,100}(?:\([^()]{0,100}\))?\)\.?")
# Messages repeat what was asked, so whatever is looked for in one takes time by its length and no more.
_LAYERS = 8

SYNTAX_ERROR = (62, "SYNTAX_ERROR")
NOT_IMPLEMENTED = (48, "NOT_IMPLEMENTED")
BAD_ARGUMENTS = (36, "BAD_ARGUMENTS")
READONLY = (164, "READONLY")
ACCESS_DENIED = (497, "ACCESS_DENIED")
AUTHENTICATION_FAILED = (516, "AUTHENTICATION_FAILED")
TOO_MANY_SIMULTANEOUS_QUERIES = (202, "TOO_MANY_SIMULTANEOUS_QUERIES")
INTO_OUTFILE_NOT_ALLOWED = (358, "INTO_OUTFILE_NOT_ALLOWED")
BODY_TOO_LARGE = (307, "TOO_MANY_BYTES")
CANNOT_DECOMPRESS = (271, "CANNOT_DECOMPRESS")
UNKNOWN_COMPRESSION_METHOD = (89, "UNKNOWN_COMPRESSION_METHOD")
SESSION_NOT_FOUND = (372, "SESSION_NOT_FOUND")
TOO_MANY_ROWS_OR_BYTES = (396, "TOO_MANY_ROWS_OR_BYTES")
QUERY_WAS_CANCELLED = (394, "QUERY_WAS_CANCELLED")
TOO_DEEP_AST = (167, "TOO_DEEP_AST")
UNKNOWN_EXCEPTION = (1002, "UNKNOWN_EXCEPTION")
ABORTED = (236, "ABORTED")

# As exceptionCodeToHTTPStatus of ClickHouse; what is not named is 500.
_BAD_REQUEST = frozenset(
    {
        6, 26, 27, 28, 33, 36, 38, 41, 42, 43, 44, 46, 47, 53, 62, 63, 69, 70, 72, 82, 115, 117, 130, 131,
        167, 168, 190, 220, 271, 306, 407, 420, 441, 456, 457, 467, 489, 501, 602, 637, 683,
    }
)  # fmt: skip
_STATUS = {
    194: 401,  # REQUIRED_PASSWORD
    164: 403,  # READONLY
    192: 403,  # UNKNOWN_USER
    193: 403,  # WRONG_PASSWORD
    291: 403,  # DATABASE_ACCESS_DENIED
    358: 403,  # INTO_OUTFILE_NOT_ALLOWED: a refusal, though ClickHouse answers 500
    497: 403,  # ACCESS_DENIED
    516: 403,  # AUTHENTICATION_FAILED
    16: 404,  # NO_SUCH_COLUMN_IN_TABLE
    45: 404,  # CANNOT_FIND_FIELD
    50: 404,  # UNKNOWN_TYPE
    51: 404,  # EMPTY_LIST_OF_COLUMNS_QUERIED
    52: 404,
    60: 404,  # UNKNOWN_TABLE
    73: 404,  # UNKNOWN_FORMAT
    81: 404,  # UNKNOWN_DATABASE
    372: 404,  # SESSION_NOT_FOUND
    159: 408,  # TIMEOUT_EXCEEDED
    307: 413,  # TOO_MANY_BYTES: here only for a request body over the limit
    48: 501,  # NOT_IMPLEMENTED
    202: 503,  # TOO_MANY_SIMULTANEOUS_QUERIES
    236: 503,  # ABORTED
    252: 503,  # TOO_MANY_PARTS
}


class ClickHouseError(Exception):
    """What the client is told: a code of ClickHouse, its name and a message."""

    def __init__(self, kind: tuple[int, str], message: str) -> None:
        super().__init__(message)
        self.code, self.name = kind
        self.message = message

    @property
    def status(self) -> int:
        """The HTTP status that ClickHouse gives this code."""
        return 400 if self.code in _BAD_REQUEST else _STATUS.get(self.code, 500)

    def text(self, version: str) -> str:
        """The body of the answer, as ClickHouse words it."""
        return (
            f"Code: {self.code}. DB::Exception: {self.message} ({self.name}) (version {version} (embedded))\n"
        )


def denied(what: str) -> ClickHouseError:
    """A refusal to a reader, in the words in which ClickHouse begins one."""
    return ClickHouseError(ACCESS_DENIED, f"auditor: Not enough privileges: {what}")


def from_engine(message: str) -> ClickHouseError:
    """The error in a message of the engine, which repeats its prefix once for every layer passed."""
    text = _VERSION.sub("", message.strip()).strip()
    code = None
    for _ in range(_LAYERS):
        if (found := _MESSAGE.match(text)) is None:
            break
        code = code or int(found[1])
        text = found[2].strip()
    if code is None:
        return ClickHouseError(UNKNOWN_EXCEPTION, text)
    name = ""
    for _ in range(_LAYERS):
        if (tail := _NAME.search(text)) is None:
            break
        name = name or tail[1]
        text = text[: tail.start()].rstrip()
    return ClickHouseError((code, name or "UNKNOWN"), text)
