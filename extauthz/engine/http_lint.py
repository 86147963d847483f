"""Rules held against what HTTP requests can hold: actions that no method is, paths that no path is."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

from extauthz.engine import reading
from extauthz.engine.clause import clauses, constants
from extauthz.engine.translation import PLACEHOLDERS, translated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from extauthz.engine.column import Column
    from extauthz.engine.finding import Report
    from extauthz.engine.model import Model

# What extauthz takes for a method (extauthz.asked), and how a keyMatch pattern of one may begin.
METHOD = re.compile(r"[A-Z][A-Z-]{0,31}")
_METHOD_START = re.compile(r"[A-Z-]{0,32}")
_PATH_PATTERNS = frozenset({"==", "keyMatch", "keyMatch2", "keyMatch3", "keyMatch4", "keyMatch5"})
_META = re.compile(r"[\\.^$*+?{}\[\]|()]")
_NEVER_IN_A_PATH = re.compile(r"//|/\.{1,2}(?:/|\Z)|[;#\s]|[^\x00-\x7f]")


def check(model: Model, request: Sequence[str], rules: Column, in_model: Report, in_policy: Report) -> None:
    """Findings about a policy whose request values are the named attributes of HTTP requests."""
    if len(request) != len(model.request):
        in_model.error(
            model.request_line,
            "request",
            f"the model's r has {len(model.request)} values ({', '.join(model.request)}), "
            f"extauthz.request gives {len(request)} ({', '.join(request)})",
        )
        return
    if model.roles and request[model.subject] != "subject":
        in_model.error(
            model.request_line,
            "request",
            f"roles are asked about r.{model.request[model.subject]}, "
            f"where extauthz.request gives the {request[model.subject]}",
        )
        return
    attribute_of = dict(zip(model.request, request, strict=True))
    for clause in clauses(model):
        attribute = attribute_of.get(clause.request, "")
        field = model.policy.index(clause.policy)
        if attribute == "action":
            meant = constants(model, clause.policy)
            rules.check(field, functools.partial(_action_problem, clause.function, meant), in_policy.error)
        if attribute == "resource" and clause.function in _PATH_PATTERNS:
            doubtful = rules.odd(field, clause.function)
            doubtful.check(field, functools.partial(_path_problem, clause.function), in_policy.warning)
        if clause.function in reading.FUNCTIONS:
            reading.check(rules, field, clause.function, in_policy)


def _action_problem(function: str, meant: frozenset[str], value: str) -> tuple[str, str] | None:
    if value in meant or _matches_a_method(function, value):
        return None
    return "action", f"no method is matched by {value!r} under {function}; one row a method, or *"


def _path_problem(function: str, value: str) -> tuple[str, str] | None:
    if _matches_a_path(function, value):
        return None
    return "path", f"no normalised path is matched by {value!r}"


def _matches_a_method(function: str, value: str) -> bool:
    if function == "==":
        return bool(METHOD.fullmatch(value))
    if function == "keyMatch":
        start, star, _ = value.partition("*")
        return bool((_METHOD_START if star else METHOD).fullmatch(start))
    return True


def _matches_a_path(function: str, value: str) -> bool:
    if function in PLACEHOLDERS and _META.search(translated(function, value)):
        # Whatever such an expression matches is not to be told by looking at it.
        return True
    return value.startswith(("/", "*")) and not _NEVER_IN_A_PATH.search(value)
