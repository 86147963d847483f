"""Rows held against their model: what Casbin would drop, misread or never match."""

from __future__ import annotations

import functools
import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from extauthz.engine import folders, reference
from extauthz.engine.clause import PATTERNS, Clause, clauses, constants
from extauthz.engine.column import CHUNK, Column
from extauthz.engine.embedded import expression_problem
from extauthz.engine.finding import errors
from extauthz.engine.roles import RoleGraph
from extauthz.engine.translation import check_groups

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
    _check_duplicates(table, rules, report)
    for name, found in groups.items():
        # A graph has each link once: where it has as many as there are rows, no row stands twice.
        if name in model.timed or graphs[name].size != len(found):
            _check_duplicates(table, found, report)
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
    for start in range(0, len(table), CHUNK):
        rows = range(start, min(start + CHUNK, len(table)))
        first = table.ptypes[start]
        alike = set(table.ptypes[start : rows.stop]) == {first}
        if alike and set(map(len, table.records[start : rows.stop])) == {wanted.get(first)}:
            groups[first] += rows
        else:
            for at in rows:
                _group(table, at, model, groups, report)
    return groups


def _group(table: Table, at: int, model: Model, groups: dict[str, list[int]], report: Report) -> None:
    ptype, record = table.ptypes[at], table.records[at]
    if ptype not in groups:
        message = f"a row must begin with one of {', '.join(groups)}, this one with {ptype!r}"
        report.error(table.lines[at], "ptype", message)
    elif len(record) != model.widths[ptype]:
        report.error(table.lines[at], "arity", _arity(ptype, record, model))
    else:
        groups[ptype].append(at)


def _check_duplicates(table: Table, rows: list[int], report: Report) -> None:
    # Records and where they were first, in many small dicts: a large one halts everything while it grows.
    seen: list[dict[tuple[str, ...], int]] = [{} for _ in range(256)]
    records = table.records
    for at in rows:
        record = records[at]
        before = seen[hash(record) & 255].setdefault(record, at)
        if before != at:
            report.warning(table.lines[at], "duplicate", f"the same row as line {table.lines[before]}")
    while seen:
        seen.pop()


def _arity(ptype: str, fields: Sequence[str], model: Model) -> str:
    names = model.policy
    if ptype != "p":
        times = ("from", "until") if ptype in model.timed else ()
        names = (*("name", "role", "domain")[: model.roles[ptype]], *times)
    count = f"{len(fields)} field{'s' if len(fields) != 1 else ''}"
    return f"{count}, the model's {ptype} wants {len(names)} ({', '.join(names)})"


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
            field = model.policy.index(clause.policy)
            column.odd(field, clause.function).check(field, problem, report.error)
    for name in model.embedded:
        column.check(model.policy.index(name), functools.partial(expression_problem, model), report.error)
    _check_subject(column, used, model, report)
    if not errors(report.findings):
        # Patterns that cannot be read cannot be compared either.
        folders.check(column, used, model, report)


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
    Column(table, links.get("g", [])).check(1, _role_problem, report.warning)
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


def _role_problem(role: str) -> tuple[str, str] | None:
    if role.startswith("role:"):
        return None
    return "role", f"{role!r} is not written role:NAME; a subject of that name has its rights"
