"""Rows held against their model: what Casbin would drop, misread or never match."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from extauthz.engine import reference
from extauthz.engine.clause import PATTERNS, Clause, clauses
from extauthz.engine.finding import errors
from extauthz.engine.roles import RoleGraph

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from extauthz.engine.finding import Report
    from extauthz.engine.model import Model
    from extauthz.engine.rows import Row

_PRIORITY = re.compile(r"[0-9]{1,18}")
_FUNCTIONS = reference.matching_functions()
# Patterns that are expressions whatever keyMatch function reads them; trying each is what loading costs.
_PLAIN = re.compile(r"(?:/\*|[A-Za-z0-9_/.:~@=,%!&'-])*")
_LITERAL = frozenset({"==", "g"})


def checked(rows: Iterable[Row], model: Model, report: Report) -> tuple[list[Row], dict[str, list[Row]]]:
    """The rules and the role links (by role definition) that fit the model; a finding for each other row."""
    rules: list[Row] = []
    links: dict[str, list[Row]] = {name: [] for name in model.roles}
    seen: dict[tuple[str, ...], int] = {}
    for row in rows:
        before = seen.setdefault((row.ptype, *row.fields), row.line)
        if before != row.line:
            report.warning(row.line, "duplicate", f"the same row as line {before}")
        if row.ptype == "p" and _arity(row, len(model.policy), model, report):
            rules.append(row)
        elif row.ptype in links and _arity(row, model.roles[row.ptype], model, report):
            links[row.ptype].append(row)
        elif row.ptype != "p" and row.ptype not in links:
            known = ", ".join(["p", *links])
            report.error(
                row.line, "ptype", f"a row must begin with one of {known}, this one with {row.ptype!r}"
            )
    _check_rules(rules, model, report)
    _check_links(links, report)
    return rules, links


def _arity(row: Row, wanted: int, model: Model, report: Report) -> bool:
    if len(row.fields) == wanted:
        return True
    names = ", ".join(model.policy) if row.ptype == "p" else ", ".join(("name", "role", "domain")[:wanted])
    count = f"{len(row.fields)} field{'s' if len(row.fields) != 1 else ''}"
    report.error(row.line, "arity", f"{count}, the model's {row.ptype} wants {wanted} ({names})")
    return False


def _check_rules(rules: Sequence[Row], model: Model, report: Report) -> None:
    if not rules and not errors(report.findings):
        _check_empty(model, report)
    used = clauses(model)
    for row in rules:
        _check_effect(row, model, report)
        _check_priority(row, model, report)
        _check_patterns(row, used, model, report)
        _check_subject(row, used, model, report)
    if not errors(report.findings):
        # Patterns that cannot be read cannot be compared either.
        _check_denied_folders(rules, used, model, report)


def _check_empty(model: Model, report: Report) -> None:
    if model.effect == reference.DENY_OVERRIDE:
        report.error(0, "empty", "no rule at all, and this model's effect allows what no rule denies")
    else:
        report.warning(0, "empty", "no rule at all: every request will be denied")


def _check_effect(row: Row, model: Model, report: Report) -> None:
    if model.effect_field is None:
        return
    effect = row.fields[model.effect_field]
    if effect not in reference.EFFECT_OF:
        report.error(row.line, "effect", f"{effect!r} is neither allow nor deny; Casbin ignores such a row")
    elif effect == "deny" and model.effect == reference.ALLOW_OVERRIDE:
        report.warning(row.line, "idle", "a deny, which this model's effect never looks at")


def _check_priority(row: Row, model: Model, report: Report) -> None:
    if "priority" in model.policy:
        value = row.fields[model.policy.index("priority")]
        if not _PRIORITY.fullmatch(value):
            report.error(
                row.line, "priority", f"{value!r} is no whole number from 0; Casbin sorts others as text"
            )


def _check_patterns(row: Row, used: Sequence[Clause], model: Model, report: Report) -> None:
    for clause in used:
        if clause.function in PATTERNS:
            value = row.fields[model.policy.index(clause.policy)]
            problem = _problem(clause.function, value)
            if problem:
                report.error(row.line, "pattern", f"{value!r} is nothing for {clause.function}: {problem}")


def _problem(function: str, pattern: str) -> str:
    if function == "keyMatch" or (function != "ipMatch" and _PLAIN.fullmatch(pattern)):
        return ""
    try:
        if function == "ipMatch":
            ipaddress.ip_network(pattern, strict=False)
        else:
            _FUNCTIONS[function]("/", pattern)
    except Exception as error:  # noqa: BLE001 - whatever Casbin raises here it would raise at each request
        return str(error) or type(error).__name__
    return ""


def _check_subject(row: Row, used: Sequence[Clause], model: Model, report: Report) -> None:
    for clause in used:
        field = model.policy.index(clause.policy)
        if clause.request == model.request[model.subject] and row.fields[field] == "*":
            compared = {other.function for other in used if other.policy == clause.policy}
            if compared <= _LITERAL:
                report.error(
                    row.line,
                    "subject",
                    "'*' is no subject and matches nobody; for everyone write role:everyone",
                )
                return


def _check_denied_folders(rules: Sequence[Row], used: Sequence[Clause], model: Model, report: Report) -> None:
    """Warn of a deny of /x/* that leaves /x itself alone: people mean both."""
    if model.effect_field is None or model.effect == reference.ALLOW_OVERRIDE:
        return
    denials = [row for row in rules if row.fields[model.effect_field] == "deny"]
    for clause in used:
        if clause.function in PATTERNS - {"ipMatch", "regexMatch"}:
            _check_folders(denials, model.policy.index(clause.policy), report)


def _check_folders(denials: Sequence[Row], field: int, report: Report) -> None:
    beside: dict[tuple[str, ...], set[str]] = {}
    for row in denials:
        beside.setdefault(_others(row, field), set()).add(row.fields[field])
    for row in denials:
        folder = row.fields[field].removesuffix("/*")
        if folder not in {"", row.fields[field]} and not beside[_others(row, field)] & _covering(folder):
            report.warning(
                row.line, "folder", f"denies what is below {folder}, but not {folder} itself; deny that too"
            )


def _covering(folder: str) -> set[str]:
    """Patterns that match a folder: itself, and what stands for all below one of its parents."""
    parents = folder.split("/")[:-1]
    return {folder, "*", *("/".join(parents[: at + 1]) + "/*" for at in range(len(parents)))}


def _others(row: Row, field: int) -> tuple[str, ...]:
    return (*row.fields[:field], *row.fields[field + 1 :])


def _check_links(links: dict[str, list[Row]], report: Report) -> None:
    for row in links.get("g", ()):
        if not row.fields[1].startswith("role:"):
            report.warning(
                row.line,
                "role",
                f"{row.fields[1]!r} is not written role:NAME; a subject of that name has its rights",
            )
    for name, rows in links.items():
        if not rows:
            continue
        graph = RoleGraph.of(2 if len(rows[0].fields) == 2 else 3, (row.fields for row in rows))
        cycle = graph.cycle()
        if cycle:
            report.warning(rows[0].line, "cycle", f"{name}: roles in a circle: {' → '.join(cycle)}")
        deep = graph.too_deep()
        if deep:
            report.error(
                rows[0].line,
                "depth",
                f"{name}: {deep[0]} is more than {reference.MAX_HOPS} steps from {deep[1]}, "
                "farther than Casbin looks; link them more directly",
            )
