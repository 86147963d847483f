"""Rows held against their model: what Casbin would drop, misread or never match."""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from extauthz.engine import reference
from extauthz.engine.clause import PATTERNS, Clause, clauses, constants
from extauthz.engine.embedded import expression_problem
from extauthz.engine.finding import errors
from extauthz.engine.patterns import check_groups
from extauthz.engine.roles import RoleGraph

if TYPE_CHECKING:
    from collections.abc import Sequence

    from extauthz.engine.finding import Report
    from extauthz.engine.model import Model
    from extauthz.engine.rows import Table

_PRIORITY = re.compile(r"[0-9]{1,18}")
_FUNCTIONS = reference.matching_functions()
# Patterns that are expressions whatever keyMatch function reads them; trying each is what loading costs.
_PLAIN = re.compile(r"(?:/\*|[A-Za-z0-9_/.:~@=,%!&'-])*")
_LITERAL = frozenset({"==", "g"})
_REMEMBERED = 2048

Tell = Callable[[int, str, str], None]


@dataclass(frozen=True, slots=True)
class Checked:
    """Where in the table the rules and the role links (by role definition) are, and the graphs of the links."""

    rules: Column
    links: dict[str, list[int]]
    graphs: dict[str, RoleGraph]


def checked(table: Table, model: Model, report: Report) -> Checked:
    """The rows that fit the model; a finding for each other one."""
    groups = _grouped(table, model, report)
    rules = groups.pop("p")
    graphs = {
        name: RoleGraph.of(model.roles[name], (table.records[at] for at in found), timed=name in model.timed)
        for name, found in groups.items()
    }
    column = Column(table, rules)
    _check_rules(column, model, report)
    _check_links(table, groups, graphs, report)
    for name in model.timed:
        _check_times(Column(table, groups[name]), model.roles[name], report)
    return Checked(column, groups, graphs)


def _grouped(table: Table, model: Model, report: Report) -> dict[str, list[int]]:
    """Where the rows of each ptype are that have the right number of fields."""
    wanted = model.widths
    groups: dict[str, list[int]] = {name: [] for name in wanted}
    # Records and where they were first, in many small dicts: a large one halts everything while it grows.
    seen: dict[str, list[dict[tuple[str, ...], int]]] = {name: [{} for _ in range(256)] for name in wanted}
    for at, (ptype, record) in enumerate(zip(table.ptypes, table.records, strict=True)):
        count = wanted.get(ptype)
        if count is None:
            message = f"a row must begin with one of {', '.join(wanted)}, this one with {ptype!r}"
            report.error(table.lines[at], "ptype", message)
            continue
        before = seen[ptype][hash(record) & 255].setdefault(record, at)
        if before != at:
            report.warning(table.lines[at], "duplicate", f"the same row as line {table.lines[before]}")
        if count == len(record):
            groups[ptype].append(at)
        else:
            report.error(table.lines[at], "arity", _arity(ptype, record, model))
    for shards in seen.values():
        while shards:
            shards.pop()
    return groups


def _arity(ptype: str, fields: Sequence[str], model: Model) -> str:
    names = model.policy
    if ptype != "p":
        times = ("from", "until") if ptype in model.timed else ()
        names = (*("name", "role", "domain")[: model.roles[ptype]], *times)
    count = f"{len(fields)} field{'s' if len(fields) != 1 else ''}"
    return f"{count}, the model's {ptype} wants {len(names)} ({', '.join(names)})"


@dataclass(frozen=True, slots=True)
class Column:
    """The rules of a table, looked at field by field."""

    table: Table
    rules: list[int]

    def check(self, field: int, problem: Callable[[str], tuple[str, str] | None], tell: Tell) -> None:
        """`problem` gives a code and a message for a value that is wrong; `tell` is told of each row of it."""
        records = self.table.records
        # Values that come again and again are looked at once; a set of all would halt everything when it grows.
        fine: set[str] = set()
        for at in self.rules:
            value = records[at][field]
            if value in fine:
                continue
            wrong = problem(value)
            if wrong:
                tell(self.table.lines[at], *wrong)
                continue
            if len(fine) >= _REMEMBERED:
                fine.clear()
            fine.add(value)


def _check_rules(column: Column, model: Model, report: Report) -> None:
    if not column.rules and not errors(report.findings):
        _check_empty(model, report)
    used = clauses(model)
    if model.effect_field is not None:
        column.check(model.effect_field, _effect_problem, report.error)
        if model.effect == reference.ALLOW_OVERRIDE:
            column.check(model.effect_field, _idle, report.warning)
    if "priority" in model.policy:
        column.check(model.policy.index("priority"), _priority_problem, report.error)
    for clause in used:
        if clause.function in PATTERNS:
            problem = functools.partial(_pattern_problem, clause.function)
            column.check(model.policy.index(clause.policy), problem, report.error)
    for name in model.embedded:
        column.check(model.policy.index(name), functools.partial(expression_problem, model), report.error)
    _check_subject(column, used, model, report)
    if not errors(report.findings):
        # Patterns that cannot be read cannot be compared either.
        _check_denied_folders(column, used, model, report)


def _check_empty(model: Model, report: Report) -> None:
    if model.effect == reference.DENY_OVERRIDE:
        report.error(0, "empty", "no rule at all, and this model's effect allows what no rule denies")
    else:
        report.warning(0, "empty", "no rule at all: every request will be denied")


def _effect_problem(effect: str) -> tuple[str, str] | None:
    if effect in reference.EFFECT_OF:
        return None
    return "effect", f"{effect!r} is neither allow nor deny; Casbin ignores such a row"


def _idle(effect: str) -> tuple[str, str] | None:
    return ("idle", "a deny, which this model's effect never looks at") if effect == "deny" else None


def _priority_problem(value: str) -> tuple[str, str] | None:
    if _PRIORITY.fullmatch(value):
        return None
    return "priority", f"{value!r} is no whole number from 0; Casbin sorts others as text"


def _pattern_problem(function: str, pattern: str) -> tuple[str, str] | None:
    problem = checked_pattern(function, pattern)
    return ("pattern", f"{pattern!r} is nothing for {function}: {problem}") if problem else None


def checked_pattern(function: str, pattern: str) -> str:
    """What is wrong with a pattern; nothing if Casbin can use it."""
    if function == "keyMatch" or (function != "ipMatch" and _PLAIN.fullmatch(pattern)):
        return ""
    try:
        if function == "ipMatch":
            ipaddress.ip_network(pattern, strict=False)
        else:
            _FUNCTIONS[function]("/", pattern)
            if function == "keyMatch4":
                check_groups(pattern)
    except Exception as error:  # noqa: BLE001 - whatever Casbin raises here it would raise at each request
        return str(error) or type(error).__name__
    return ""


def _check_subject(column: Column, used: Sequence[Clause], model: Model, report: Report) -> None:
    for clause in used:
        if clause.request == model.request[model.subject]:
            compared = {other.function for other in used if other.policy == clause.policy}
            if compared <= _LITERAL and "*" not in constants(model, clause.policy):
                column.check(model.policy.index(clause.policy), _everyone, report.error)
                return


def _everyone(value: str) -> tuple[str, str] | None:
    if value != "*":
        return None
    return "subject", "'*' is no subject and matches nobody; for everyone write role:everyone"


def _check_denied_folders(column: Column, used: Sequence[Clause], model: Model, report: Report) -> None:
    """Warn of a deny of /x/* that leaves /x itself alone: people mean both."""
    if model.effect_field is None or model.effect == reference.ALLOW_OVERRIDE:
        return
    records = column.table.records
    effect = model.effect_field
    denials = [at for at in column.rules if records[at][effect] == "deny"]
    for clause in used:
        if clause.function in PATTERNS - {"ipMatch", "regexMatch"}:
            field = model.policy.index(clause.policy)
            if any(records[at][field].endswith("/*") for at in denials):
                _check_folders(Column(column.table, denials), field, report)


def _check_folders(denials: Column, field: int, report: Report) -> None:
    beside: dict[tuple[str, ...], set[str]] = {}
    records = denials.table.records
    for at in denials.rules:
        beside.setdefault(_others(records[at], field), set()).add(records[at][field])
    for at in denials.rules:
        value = records[at][field]
        folder = value.removesuffix("/*")
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


def _check_times(links: Column, first: int, report: Report) -> None:
    for field in (first, first + 1):
        links.check(field, _time_problem, report.error)
    records, lines = links.table.records, links.table.lines
    before: dict[tuple[str, ...], int] = {}
    for at in links.rules:
        other = before.setdefault(records[at][:first], at)
        if records[other] != records[at]:
            message = f"the link of line {lines[other]} at other times; Casbin keeps the last, so write one"
            report.error(lines[at], "time", message)


def _time_problem(text: str) -> tuple[str, str] | None:
    try:
        _FUNCTIONS["timeMatch"](text, "_")
    except RuntimeError as error:
        return (
            "time",
            f"{text!r} is no time like 2030-12-31 23:59:59 (this machine's), and not _ for none: {error}",
        )
    return None


def _check_links(
    table: Table, links: dict[str, list[int]], graphs: dict[str, RoleGraph], report: Report
) -> None:
    for at in links.get("g", ()):
        role = table.records[at][1]
        if not role.startswith("role:"):
            message = f"{role!r} is not written role:NAME; a subject of that name has its rights"
            report.warning(table.lines[at], "role", message)
    for name, graph in graphs.items():
        shape = graph.shape
        if shape.cycle:
            circle = " → ".join(shape.cycle)
            report.warning(table.lines[links[name][0]], "cycle", f"{name}: roles in a circle: {circle}")
        if shape.too_deep:
            start, end = shape.too_deep
            report.error(
                table.lines[links[name][0]],
                "depth",
                f"{name}: {start} is more than {reference.MAX_HOPS} steps from {end}, "
                "farther than Casbin looks; link them more directly",
            )
