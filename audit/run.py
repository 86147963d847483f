"""Ask: a query and its values to ClickHouse, the answer as plain columns and rows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError, OperationalError

from audit import allowed as allowed_values
from audit.catalogue import types_in
from audit.errors import ParameterError, Refused, Unreachable
from audit.moment import moment_from, text_of
from audit.value import Value, value_from
from service.clickhouse import connect

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from clickhouse_connect.driver.client import Client

    from audit.catalogue import Query
    from service.clickhouse import ClickHouseSettings

MESSAGE_LENGTH = 400  # characters of ClickHouse's own words; a whole query may stand in them

# Out of "HTTPDriver … Code: 62. DB::Exception: words (NAME) (version 26.9.2.1 (x)) (for url …)": words (NAME).
_WORDS = re.compile(r"DB::Exception: (.*?)\s*(?:\(version .*|\(for url .*)?$", re.DOTALL)
# The parser's list of all that could have stood there: longer than everything else together.
_EXPECTED = re.compile(r"\s*Expected one of: .*?(?=: In scope |\s*\(SYNTAX_ERROR\)|$)", re.DOTALL)
_TIMES = "write --since before --until"


@dataclass(frozen=True, slots=True)
class Window:
    """The span of time that a question is about: since <= time < until, both in UTC."""

    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `cut` says that there were more rows than the limit."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    cut: bool


def window_from(since: str, until: str, now: datetime) -> Window:
    """The window as people write it. Raises ParameterError."""
    window = Window(_moment("since", since, now), _moment("until", until, now))
    if window.since >= window.until:
        raise ParameterError(
            f"--since {since} is {window.since:%Y-%m-%d %H:%M:%S}Z, which is not before "
            f"--until {until}, {window.until:%Y-%m-%d %H:%M:%S}Z; {_TIMES}"
        )
    return window


def values_from(
    query: Query, given: Mapping[str, str], settings: Mapping[str, object], now: datetime
) -> dict[str, Value]:
    """Values of the query's own parameters: those given, else the defaults. Raises ParameterError."""
    unknown = [name for name in given if name not in query.types]
    if unknown:
        known = ", ".join(parameter.name for parameter in query.parameters) or "none"
        raise ParameterError(f"{query.name} has no parameter {unknown[0]}; it has: {known}")
    values = {}
    for parameter in query.parameters:
        text = given.get(parameter.name, _default(parameter.default, settings))
        if text is None:
            raise ParameterError(f"parameter {parameter.name} has no value: {parameter.description}")
        values[parameter.name] = _value(parameter.name, text, parameter.type, now, parameter.allowed)
    return values


def ask(client: Client, query: Query, window: Window, limit: int, values: Mapping[str, Value]) -> Answer:
    """The answer of a named query; at most `limit` rows. Raises Unreachable and Refused."""
    common: dict[str, Value] = {
        "since": text_of(window.since),
        "until": text_of(window.until),
        # One more than asked for tells whether there are more.
        "limit": limit + 1,
    }
    sent = {**{name: value for name, value in common.items() if name in query.types}, **values}
    answer = select(client, query.sql, sent)
    return Answer(
        answer.columns, answer.rows[:limit], cut="limit" in query.types and len(answer.rows) > limit
    )


def ask_sql(client: Client, sql: str, given: Mapping[str, str], now: datetime) -> Answer:
    """The answer to any read-only query; its {name:Type} parameters take their values from `given`.

    Raises CatalogueError, ParameterError, Unreachable and Refused.
    """
    types = types_in(sql)
    missing = [name for name in types if name not in given]
    unknown = [name for name in given if name not in types]
    if missing:
        raise ParameterError(f"parameter {missing[0]} has no value; add --param {missing[0]}=VALUE")
    if unknown:
        raise ParameterError(
            f"the query has no parameter {{{unknown[0]}:Type}}; take --param {unknown[0]} away"
        )
    return select(client, sql, {name: _value(name, given[name], types[name], now) for name in types})


def reader(settings: ClickHouseSettings) -> Client:
    """A client as the reader's user. Raises Unreachable and Refused."""
    try:
        return connect(settings, settings.reader_user, settings.reader_password_file)
    except OSError as error:
        raise Refused(
            f"{settings.reader_password_file}: the reader's password cannot be read: {error.strerror}; "
            "name a readable file in clickhouse.reader_password_file"
        ) from error
    except ClickHouseError as error:
        raise _explained(error, settings.url) from error


def select(client: Client, sql: str, values: Mapping[str, Value]) -> Answer:
    """The answer to SQL whose parameters all have their values. Raises Unreachable and Refused."""
    try:
        result = client.query(sql, parameters=dict(values), settings=_settings(client), tz_mode="aware")
        rows = tuple(tuple(row) for row in result.result_rows)
        # In the Native format an answer without rows may come without its columns.
        columns = tuple(result.column_names) or _columns(client, sql, values)
    except ClickHouseError as error:
        raise _explained(error, client.uri) from error
    return Answer(columns, rows, cut=False)


def _columns(client: Client, sql: str, values: Mapping[str, Value]) -> tuple[str, ...]:
    """Names of the columns of a query that gave no rows; none where only a SELECT has them."""
    described = f"DESCRIBE (\n{sql.rstrip().rstrip(';')}\n)"
    try:
        result = client.query(described, parameters=dict(values), settings=_settings(client))
    except DatabaseError:
        return ()
    return tuple(str(row[0]) for row in result.result_rows)


def _settings(client: Client) -> dict[str, int]:
    """On a server whose reader's user could write, have the server refuse writes; else leave it as it is."""
    readonly = client.server_settings.get("readonly")
    return {"readonly": 2} if readonly and readonly.value == "0" and not readonly.readonly else {}


def _explained(error: ClickHouseError, url: str) -> Unreachable | Refused:
    text = str(error)
    words = _WORDS.search(text)
    if words is None and isinstance(error, OperationalError):
        return _silence(_root(error), url)
    said = _short(_EXPECTED.sub("", words[1] if words else text))
    return Refused(f"ClickHouse at {url} refused the query: {said}")


def _silence(cause: BaseException, url: str) -> Unreachable:
    if isinstance(cause, TimeoutError):
        return Unreachable(
            f"ClickHouse at {url} did not answer in time: look whether it is up (gateledger status), narrow the "
            "question with --since and --until, or raise clickhouse.query_timeout_seconds"
        )
    return Unreachable(
        f"ClickHouse does not answer at {url}: {_short(str(cause))}; start it (gateledger up), or set "
        "clickhouse.url to where it is"
    )


def _root(error: BaseException) -> BaseException:
    """What the driver's error began with: its own text holds the whole chain."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    return error


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= MESSAGE_LENGTH else flat[:MESSAGE_LENGTH] + " …"


def _default(default: str | None, settings: Mapping[str, object]) -> str | None:
    return str(settings[default[1:]]) if default and default.startswith("$") else default


def _moment(name: str, text: str, now: datetime) -> datetime:
    try:
        return moment_from(text, now)
    except ParameterError as error:
        raise ParameterError(f"--{name}: {error}") from error


def _value(name: str, text: str, type_: str, now: datetime, allowed: str = "") -> Value:
    try:
        allowed_values.check(text, allowed, type_)
        return value_from(text, type_, now)
    except ParameterError as error:
        raise ParameterError(f"--{name.replace('_', '-')}: {error}") from error
