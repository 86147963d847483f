"""What pycasbin's own loader would have made of a policy file: rows that it drops, and rows that it reads otherwise.

For people who come from it: our loader refuses, or reads right, what stands here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from extauthz.engine import reference
from extauthz.engine.extension import NO_EXTENSIONS
from extauthz.engine.finding import Finding, Report
from extauthz.engine.model import model_of
from extauthz.engine.rows import table_of
from extauthz.engine.source import text_of

if TYPE_CHECKING:
    from extauthz.engine.extension import Extensions
    from extauthz.engine.model import Model
    from extauthz.engine.source import Source

_BOM = "\ufeff"


def differences(source: Source, extensions: Extensions = NO_EXTENSIONS) -> tuple[Finding, ...]:
    """One warning (code `compat`) for each line that pycasbin ignores or takes for something else."""
    report = Report(source.policy_path, [])
    model = model_of(text_of(source.model, Report("", [])), Report("", []), extensions)
    text = source.policy.decode("utf-8", errors="replace")
    # What we read, without a word about it.
    table = table_of(text.removeprefix(_BOM), Report("", []))
    records = ((ptype, *fields) for ptype, fields in zip(table.ptypes, table.records, strict=True))
    ours = dict(zip(table.lines, records, strict=True))
    for number, line in enumerate(text.split("\n"), start=1):
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            message = _difference(stripped, ours.get(number), model)
            if message:
                report.warning(number, "compat", message)
    return tuple(report.findings)


def _difference(line: str, ours: tuple[str, ...] | None, model: Model | None) -> str:
    try:
        theirs = reference.tokens(line)
    except Exception as error:  # noqa: BLE001 - it raises anything
        return f"pycasbin cannot load the file: {type(error).__name__}: {error}"
    if not theirs[0]:
        return "pycasbin cannot load the file: a row without its first word"
    wanted = model.widths if model else {"p": 0, "g": 0}
    if theirs[0] not in wanted:
        return f"pycasbin drops this row without a word: {theirs[0]!r} is nothing to it"
    if ours is None or theirs != list(ours):
        return f"pycasbin reads {', '.join(map(repr, theirs))}"
    return _misuse(theirs, wanted[theirs[0]], model) if model else ""


def _misuse(theirs: list[str], wanted: int, model: Model) -> str:
    ptype, *fields = theirs
    if ptype != "p":
        if len(fields) > wanted:
            return f"pycasbin ignores what stands behind field {wanted}"
        return (
            f"pycasbin cannot load the file: {len(fields)} fields for {ptype}" if len(fields) < wanted else ""
        )
    if len(fields) != wanted:
        return "pycasbin loads this row, and fails on each request for which it comes so far"
    if model.effect_field is not None and fields[model.effect_field] not in reference.EFFECT_OF:
        return f"pycasbin loads this row, and ignores it: {fields[model.effect_field]!r} is no effect"
    return ""
