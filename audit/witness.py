"""Asks for what the three witnesses say: the queries of audit/completeness."""

from __future__ import annotations

from datetime import timedelta
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from audit import run
from audit.moment import text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from clickhouse_connect.driver.client import Client

    from audit.value import Value

_MINUTE = timedelta(minutes=1)


def rows_of(client: Client, name: str, values: Mapping[str, Value]) -> list[dict[str, Any]]:
    """The rows of completeness/NAME.sql. Raises what audit.run raises."""
    sql = (files("audit") / "completeness" / f"{name}.sql").read_text(encoding="utf-8")
    answer = run.select(client, sql, values)
    return [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]


def span(window: run.Window) -> dict[str, Value]:
    """The window as the parameters of a query."""
    return {"since": text_of(window.since), "until": text_of(window.until)}


def by_name(
    client: Client, parts: Iterable[run.Window], near: str, far: str, progress: Callable[[str], None]
) -> list[dict[str, Any]]:
    """The rows of `far` over the parts, in their order; asked about the minutes alone of which `near` misses some."""
    found = []
    for part in parts:
        missing = [row["minute"] for row in rows_of(client, near, span(part))]
        if missing:
            first, last = min(missing), max(missing) + _MINUTE
            found += rows_of(client, far, span(run.Window(max(part.since, first), min(part.until, last))))
        progress(f"{near}: compared back to {part.since:%Y-%m-%d %H:%M:%S}Z")
    return found
