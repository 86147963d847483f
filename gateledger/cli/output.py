"""Rows for people and programs: a table, JSON or CSV, to standard output alone.

A table fits itself to a terminal: when the columns do not fit, each row becomes a block of `name  value` lines.
Into a pipe or a file it is one full line a row, whatever the width: nothing is ever cut.
"""

from __future__ import annotations

import csv
import json
import sys
from typing import TYPE_CHECKING, TextIO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateledger.cli.cell import csv_text, json_value, printable, table_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_GAP = 2  # spaces between two columns


def emit(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    format_: str,
    stream: TextIO | None = None,
) -> None:
    """Write the rows to `stream` (default: standard output) as "table", "json" or "csv"."""
    out = stream or sys.stdout
    if format_ == "json":
        _json(columns, rows, out)
    elif format_ == "csv":
        _csv(columns, rows, out)
    else:
        _table(columns, [[table_text(value) for value in row] for row in rows], _numeric(rows), out)
    out.flush()


def _json(columns: Sequence[str], rows: Iterable[Sequence[object]], out: TextIO) -> None:
    """A list of objects, one a line. In ASCII, so that it is safe on a terminal and exact everywhere."""
    before = "["
    for row in rows:
        named = dict(zip(columns, map(json_value, row), strict=True))
        # DEL is the one control character that JSON leaves as it is.
        out.write(before + "\n  " + json.dumps(named).replace("\x7f", "\\u007f"))
        before = ","
    out.write("[]\n" if before == "[" else "\n]\n")


def _csv(columns: Sequence[str], rows: Iterable[Sequence[object]], out: TextIO) -> None:
    """RFC 4180: CRLF, a header line, quotes where they are needed; see cell.py for hostile values."""
    # csv ends its lines itself; a text stream that turned \n into something else would spoil the CRLF.
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([csv_text(column) for column in columns])
    writer.writerows([csv_text(value) for value in row] for row in rows)


def _table(columns: Sequence[str], texts: list[list[str]], numeric: set[int], out: TextIO) -> None:
    names = [printable(column) for column in columns]
    widths = [max(map(Text, column), key=Text.__len__).cell_len for column in zip(names, *texts, strict=True)]
    needed = sum(widths) + _GAP * max(len(widths) - 1, 0)
    # In a pipe rich would take 80 columns and cut; there a line is as long as it is.
    terminal = out.isatty()
    console = Console(file=out, width=None if terminal else max(needed, 1), highlight=False, soft_wrap=False)
    if needed <= console.width:
        console.print(_grid(names, texts, numeric))
    else:
        _blocks(console, names, texts)


def _grid(names: list[str], texts: list[list[str]], numeric: set[int]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    for number, name in enumerate(names):
        table.add_column(Text(name), justify="right" if number in numeric else "left", no_wrap=True)
    for row in texts:
        # Text, never markup: a value such as [bold] is a value.
        table.add_row(*map(Text, row))
    return table


def _blocks(console: Console, names: list[str], texts: list[list[str]]) -> None:
    for number, row in enumerate(texts):
        if number:
            console.rule(style="dim", characters="-")
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, _GAP, 0, 0))
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in zip(names, row, strict=True):
            table.add_row(Text(name), Text(value))
        console.print(table)


def _numeric(rows: Iterable[Sequence[object]]) -> set[int]:
    """Numbers of the columns that hold nothing but numbers."""
    columns = list(zip(*rows, strict=True))
    return {
        number
        for number, column in enumerate(columns)
        if all(isinstance(value, int | float | None) and not isinstance(value, bool) for value in column)
    }
