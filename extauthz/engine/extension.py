"""What a model may use beyond Casbin's own functions, because the settings say so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Extensions:
    """`eval_rules`: rules may hold expressions, for `eval(p.field)`. `functions`: of one's own, by name."""

    eval_rules: bool = False
    functions: Mapping[str, Callable[..., Any]] = field(default_factory=dict)


NO_EXTENSIONS = Extensions()
