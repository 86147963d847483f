"""What an error of ClickHouse means for the writer. Pure."""

from __future__ import annotations

import enum
import re

from clickhouse_connect.driver.exceptions import Error as ClickHouseError

# Numbers and names of ClickHouse's src/Common/ErrorCodes.cpp.
_DATA = {
    6,  # CANNOT_PARSE_TEXT
    27,  # CANNOT_PARSE_INPUT_ASSERTION_FAILED
    32,  # ATTEMPT_TO_READ_AFTER_EOF
    33,  # CANNOT_READ_ALL_DATA
    38,  # CANNOT_PARSE_DATE
    41,  # CANNOT_PARSE_DATETIME
    69,  # ARGUMENT_OUT_OF_BOUND
    70,  # CANNOT_CONVERT_TYPE
    72,  # CANNOT_PARSE_NUMBER
    117,  # INCORRECT_DATA
    131,  # TOO_LARGE_STRING_SIZE
    321,  # VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
    349,  # CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
    407,  # DECIMAL_OVERFLOW
    436,  # PROTOBUF_BAD_CAST
    444,  # UNKNOWN_PROTOBUF_FORMAT
    469,  # VIOLATED_CONSTRAINT
    675,  # CANNOT_PARSE_IPV4
    676,  # CANNOT_PARSE_IPV6
    691,  # UNKNOWN_ELEMENT_OF_ENUM
}
_SCHEMA = {
    16,  # NO_SUCH_COLUMN_IN_TABLE
    36,  # BAD_ARGUMENTS
    47,  # UNKNOWN_IDENTIFIER
    60,  # UNKNOWN_TABLE
    81,  # UNKNOWN_DATABASE
}
_ACCESS = {
    164,  # READONLY
    192,  # UNKNOWN_USER
    193,  # WRONG_PASSWORD
    194,  # REQUIRED_PASSWORD
    497,  # ACCESS_DENIED
    516,  # AUTHENTICATION_FAILED
}


_OVERLOAD = {
    202,  # TOO_MANY_SIMULTANEOUS_QUERIES
    241,  # MEMORY_LIMIT_EXCEEDED
    252,  # TOO_MANY_PARTS
    439,  # CANNOT_SCHEDULE_TASK
}
# The same number 252, of an INSERT that would touch several partitions: waiting does not mend it.
_TOO_MANY_PARTITIONS = "Too many partitions for single INSERT block"


class Kind(enum.StrEnum):
    """data: the entries' own fault. batch: how they were put together. schema and access: somebody has to
    act. overload and outage: wait; whether an INSERT was stored is to be looked for (319,
    UNKNOWN_STATUS_OF_INSERT, says just that).
    """

    DATA = "data"
    BATCH = "batch"
    OVERLOAD = "overload"
    SCHEMA = "schema"
    ACCESS = "access"
    OUTAGE = "outage"


_HINTS = {
    Kind.OVERLOAD: "ClickHouse has too much to do; what comes stays in the spool",
    Kind.SCHEMA: "run `gateledger db migrate`",
    Kind.ACCESS: "see clickhouse.writer_user and clickhouse.writer_password_file",
}

# What the driver and the engine put around an error's own words.
_NOISE = re.compile(
    r"^Received ClickHouse exception, code: \d+, server response: (Code: \d+\. DB::Exception: )*"
    r"|:? \(in file/uri [^)]*\)|: While executing .*?(?= \([A-Z_]+\)|$)| \(version [^()]*(\([^()]*\))?\)| \(for url [^)]*\)$"
)


class StuckError(Exception):
    """A segment that must stay where it is. The message says which batch, why, and what to do."""


def kind_of(error: Exception) -> Kind:
    """What kind of error an exception of clickhouse_connect, or of its network, is."""
    code = error.code if isinstance(error, ClickHouseError) else None
    if _TOO_MANY_PARTITIONS in str(error):
        return Kind.BATCH
    if code in _OVERLOAD:
        return Kind.OVERLOAD
    if code in _DATA:
        return Kind.DATA
    if code in _SCHEMA:
        return Kind.SCHEMA
    if code in _ACCESS:
        return Kind.ACCESS
    return Kind.OUTAGE


def explained(error: Exception) -> str:
    """The error for people: one line, with what to do where somebody can act."""
    text = _NOISE.sub("", " ".join(str(error).split()))[:500]
    hint = _HINTS.get(kind_of(error))
    return f"{text}; {hint}" if hint else text
