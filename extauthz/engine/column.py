"""One field of many rules, looked at value by value, and most values together."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from extauthz.engine.reading import TAME

if TYPE_CHECKING:
    from collections.abc import Iterator

    from extauthz.engine.rows import Table

# Rows that are looked at in one call, which holds the interpreter.
CHUNK = 256
_REMEMBERED = 16_384

# A code and a message for a value that is wrong.
Problem = Callable[[str], tuple[str, str] | None]
# Told a line, a code and a message.
Tell = Callable[[int, str, str], None]


@dataclass(frozen=True, slots=True)
class Column:
    """Some rules of a table, by their places in it."""

    table: Table
    rules: list[int]
    _odd: dict[tuple[int, str], Column] = field(default_factory=dict, repr=False, compare=False)

    def check(self, at: int, problem: Problem, tell: Tell) -> None:
        """`tell` is told of each rule whose field `at` has a problem."""
        # Values that come again and again are looked at once; a set of all would halt everything when it grows.
        fine: set[str] = set()
        value_of = operator.itemgetter(at)
        for rows in self._chunks():
            records = [self.table.records[row] for row in rows]
            values = set(map(value_of, records)) - fine
            wrong = {value: found for value in values if (found := problem(value))}
            if len(fine) >= _REMEMBERED:
                fine.clear()
            fine.update(values.difference(wrong))
            for row, record in zip(rows, records, strict=True) if wrong else ():
                if record[at] in wrong:
                    tell(self.table.lines[row], *wrong[record[at]])

    def odd(self, at: int, function: str) -> Column:
        """The rules whose field `at`, read by a pattern function, is not tame (extauthz.engine.reading)."""
        tame = TAME.get(function)
        if tame is None:
            return self
        if (at, function) not in self._odd:
            found: list[int] = []
            records = self.table.records
            for rows in self._chunks():
                values = [records[row][at] for row in rows]
                if not tame.fullmatch("\n".join(values)):
                    found += [
                        row for row, value in zip(rows, values, strict=True) if not tame.fullmatch(value)
                    ]
            self._odd[at, function] = Column(self.table, found)
        return self._odd[at, function]

    def _chunks(self) -> Iterator[list[int]]:
        for start in range(0, len(self.rules), CHUNK):
            yield self.rules[start : start + CHUNK]
