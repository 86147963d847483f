"""Rows for people and programs: a table, JSON or CSV, to standard output alone.

A table fits itself to a terminal: when the columns do not fit, each row becomes a block of `name  value` lines.
Into a pipe or a file it is one full line a row, whatever the width: nothing is ever cut.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from typing import TYPE_CHECKING, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateledger.cli.cell import csv_text, json_value, printable, table_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    Rows = Sequence[Sequence[object]]

_GAP = 2  # spaces between two columns


def emit(columns: Sequence[str], rows: Rows, format_: str, stream: TextIO | None = None) -> None:
    """Write the rows to `stream` (default: standard output) as "table", "json" or "csv"."""
    out = stream or sys.stdout
    if isinstance(out, io.TextIOWrapper):
        # A terminal that cannot show a letter gets its code, not a traceback.
        out.reconfigure(errors="backslashreplace")
    if format_ == "json":
        _json(columns, rows, out)
    elif format_ == "csv":
        _csv(columns, rows, out)
    else:
        _table(columns, rows, out)
    out.flush()


def _json(columns: Sequence[str], rows: Rows, out: TextIO) -> None:
    """A list of objects, one a line. In ASCII, so that it is safe on a terminal and exact everywhere."""
    names = _unique(columns)
    before = "["
    for row in rows:
        named = dict(zip(names, map(json_value, row), strict=True))
        # DEL is the one control character that JSON leaves as it is.
        out.write(before + "\n  " + json.dumps(named).replace("\x7f", "\\u007f"))
        before = ","
    out.write("[]\n" if before == "[" else "\n]\n")


def _unique(columns: Sequence[str]) -> list[str]:
    """The names, a second one of a kind as name_2: an object holds each name once, and none may be lost."""
    names: list[str] = []
    for column in columns:
        name, number = column, 2
        while name in names:
            name, number = f"{column}_{number}", number + 1
        names.append(name)
    return names


def _csv(columns: Sequence[str], rows: Rows, out: TextIO) -> None:
    """RFC 4180: CRLF, a header line, quotes where they are needed; see cell.py for hostile values."""
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([csv_text(column) for column in columns])
    writer.writerows([csv_text(value) for value in row] for row in rows)


def _table(columns: Sequence[str], rows: Rows, out: TextIO) -> None:
    names = [printable(column) for column in columns]
    texts = [[table_text(value) for value in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(names, *texts, strict=True)]
    numeric = _numeric(rows)
    if not out.isatty():
        out.writelines(_line(row, widths, numeric) for row in (names, *texts))
        return
    console = Console(file=out, highlight=False)
    if sum(widths) + _GAP * (len(widths) - 1) <= console.width:
        console.print(_grid(names, texts, numeric))
    else:
        _blocks(console, names, texts)


def _line(row: Sequence[str], widths: Sequence[int], numeric: set[int]) -> str:
    padded = []
    for number, (text, width) in enumerate(zip(row, widths, strict=True)):
        blank = " " * (width - cell_len(text))
        padded.append(blank + text if number in numeric else text + blank)
    return (" " * _GAP).join(padded).rstrip(" ") + "\n"


def _grid(names: Sequence[str], texts: Rows, numeric: set[int]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    for number, name in enumerate(names):
        table.add_column(Text(name), justify="right" if number in numeric else "left", no_wrap=True)
    for row in texts:
        # Text, never markup: a value such as [bold] is a value.
        table.add_row(*(Text(str(text)) for text in row))
    return table


def _blocks(console: Console, names: Sequence[str], texts: Rows) -> None:
    for number, row in enumerate(texts):
        if number:
            console.rule(style="dim", characters="-")
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, _GAP, 0, 0))
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for name, text in zip(names, row, strict=True):
            table.add_row(Text(name), Text(str(text)))
        console.print(table)


def _numeric(rows: Rows) -> set[int]:
    """Numbers of the columns that hold nothing but numbers."""
    return {
        number
        for number, column in enumerate(zip(*rows, strict=True))
        if all(isinstance(value, int | float | None) and not isinstance(value, bool) for value in column)
    }
