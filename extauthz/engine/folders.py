"""Folders of which a rule forgets one half: a pattern for all that is below /x does not match /x itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from extauthz.engine import reference
from extauthz.engine.clause import PATTERNS
from extauthz.engine.column import Column

if TYPE_CHECKING:
    from collections.abc import Sequence

    from extauthz.engine.clause import Clause
    from extauthz.engine.finding import Report
    from extauthz.engine.model import Model


# Functions of paths for which a folder is not below itself, and what stands for all below it.
PATHS = PATTERNS - {"ipMatch", "regexMatch"}
BELOW = "/*"


def check(column: Column, used: Sequence[Clause], model: Model, report: Report) -> None:
    """Warn of a deny of /x/* that leaves /x itself alone: people mean both."""
    if model.effect_field is None or model.effect == reference.ALLOW_OVERRIDE:
        return
    records = column.table.records
    effect = model.effect_field
    denials = [at for at in column.rules if records[at][effect] == "deny"]
    for clause in used:
        if clause.function in PATHS:
            field = model.policy.index(clause.policy)
            if any(records[at][field].endswith(BELOW) for at in denials):
                _check_folders(Column(column.table, denials), field, report)


def _check_folders(denials: Column, field: int, report: Report) -> None:
    beside: dict[tuple[str, ...], set[str]] = {}
    records = denials.table.records
    for at in denials.rules:
        beside.setdefault(_others(records[at], field), set()).add(records[at][field])
    for at in denials.rules:
        value = records[at][field]
        folder = value.removesuffix(BELOW)
        if folder not in {"", value} and not beside[_others(records[at], field)] & _covering(folder):
            report.warning(
                denials.table.lines[at],
                "folder",
                f"denies what is below {folder}, but not {folder} itself; deny that too",
            )


def _covering(folder: str) -> set[str]:
    """Patterns that match a folder: itself, and what stands for all below one of its parents."""
    parents = folder.split("/")[:-1]
    return {folder, "*", *("/".join(parents[: at + 1]) + "/*" for at in range(len(parents)))}


def _others(record: tuple[str, ...], field: int) -> tuple[str, ...]:
    return (*record[:field], *record[field + 1 :])
