"""What a model may use beyond Casbin's own functions, because the settings say so."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from extauthz.engine import reference

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

EVAL = "eval"
_ROLES = re.compile(r"g[2-9]?")


@dataclass(frozen=True, slots=True)
class Extensions:
    """`eval_rules`: rules may hold expressions, for `eval(p.field)`. `functions`: of one's own, by name.

    Raises ValueError for a function whose name is taken: it would change what other policies mean.
    """

    eval_rules: bool = False
    functions: Mapping[str, Callable[..., Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.functions:
            problem = name_problem(name)
            if problem:
                raise ValueError(problem)


def name_problem(name: str) -> str:
    """What is wrong with the name of a function; empty if nothing is."""
    if not name.isidentifier() or name.startswith("_"):
        return f"{name!r} is no name that a matcher can call"
    taken = {EVAL, *reference.matching_functions(), *reference.EVALUATOR_FUNCTIONS}
    if name in taken or _ROLES.fullmatch(name) or name.startswith(("r_", "p_")):
        return f"{name!r} is a name that Casbin uses itself; choose another one"
    return ""


NO_EXTENSIONS = Extensions()
