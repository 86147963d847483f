"""Allows for all below a folder that leave out the folder itself, where the policy suggests that both were meant.

/x/* without /x is often meant so: who may read each thing need not list them all. It is told where the
same policy allows somebody else both, with otherwise equal rows: there the two were written as a pair.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from extauthz.engine import EnforceError
from extauthz.engine.clause import clauses
from extauthz.engine.folders import BELOW, PATHS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from extauthz.engine import Engine
    from extauthz.engine.clause import Clause

# The fields of a row without the subject and the path; and the path.
Kind = tuple[tuple[str, ...], str]


def half_folders(engine: Engine) -> Iterator[tuple[int, str]]:
    """The lines of such rows, and what is wrong with them."""
    model = engine.model
    used = clauses(model)
    subject = model.request[model.subject]
    who = [model.policy.index(clause.policy) for clause in used if clause.request == subject]
    where = [clause for clause in used if clause.function in PATHS and clause.request != subject]
    if engine.mode == "indexed" and len(who) == 1:
        for clause in where:
            yield from _Search(engine, used, who[0], model.policy.index(clause.policy)).found()


class _Search:
    def __init__(self, engine: Engine, used: Sequence[Clause], who: int, where: int) -> None:
        self._engine = engine
        self._used = used
        self._who = who
        self._where = where

    def found(self) -> Iterator[tuple[int, str]]:
        rules = self._engine.rules
        lines: dict[Kind, dict[str, int]] = {}
        for place, row in enumerate(rules.fields):
            if not rules.denies[place]:
                lines.setdefault(self._kind(row, row[self._where]), {})[row[self._who]] = place
        for place, row in enumerate(rules.fields):
            folder = row[self._where].removesuffix(BELOW)
            if rules.denies[place] or folder in {"", row[self._where]}:
                continue
            alone = lines.get(self._kind(row, folder), {})
            below = lines[self._kind(row, row[self._where])]
            pair = next((alone[name] for name in alone if name in below), None)
            if pair is not None and row[self._who] not in alone and self._is_open(row, folder):
                line, text = rules.where(pair)
                message = (
                    f"allows what is below {folder}, but not {folder} itself, "
                    f"which line {line} allows beside the same row ({text}); allow that too if it is meant"
                )
                yield rules.where(place)[0], message

    def _kind(self, row: tuple[str, ...], path: str) -> Kind:
        return tuple(value for at, value in enumerate(row) if at not in {self._who, self._where}), path

    def _is_open(self, row: tuple[str, ...], folder: str) -> bool:
        """Whether no rule at all decides about the folder for the subject of this row."""
        model = self._engine.model
        values = ["x"] * len(model.request)
        for clause in self._used:
            value = row[model.policy.index(clause.policy)]
            values[model.request.index(clause.request)] = value.replace("*", "x")
            if model.policy.index(clause.policy) == self._where:
                values[model.request.index(clause.request)] = folder
        try:
            verdict = self._engine.enforce(*values)
        except EnforceError:
            return False
        return not verdict.allowed and verdict.line is None
