"""How a matcher compares: which function holds which request value against which field of a rule."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from extauthz.engine.model import Model

# Functions that take a pattern as their second argument.
PATTERNS = frozenset(
    {"keyMatch", "keyMatch2", "keyMatch3", "keyMatch4", "keyMatch5", "regexMatch", "globMatch", "ipMatch"}
)


@dataclass(frozen=True, slots=True)
class Clause:
    """`function(r.request, p.policy)`, or `==` between the two."""

    function: str
    request: str
    policy: str


def clauses(model: Model) -> tuple[Clause, ...]:
    """All clauses of a model's matcher, in no particular order."""
    found = []
    for node in ast.walk(model.matcher):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) >= 2:
            found.append((node.func.id, node.args[0], node.args[1]))
        elif isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.ops[0], ast.Eq):
            found += [("==", node.left, node.comparators[0]), ("==", node.comparators[0], node.left)]
    return tuple(
        Clause(function, request.id[2:], policy.id[2:])
        for function, request, policy in found
        if isinstance(request, ast.Name) and request.id.startswith("r_")
        if isinstance(policy, ast.Name) and policy.id.startswith("p_")
    )


def conjuncts(model: Model) -> tuple[ast.expr, ...]:
    """The parts of the matcher that all have to hold."""
    tree = model.matcher
    return tuple(tree.values) if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And) else (tree,)


def shown(expression: ast.expr) -> str:
    """A part of the matcher as people write it: r.sub for r_sub."""
    return re.sub(r"\b([rp])_(?=[A-Za-z_])", r"\1.", ast.unparse(expression))


def constants(model: Model, field: str) -> frozenset[str]:
    """Texts that the matcher itself compares with a field of a rule, as in `p.act == "*"`: they mean what it says."""
    found = set()
    for node in ast.walk(model.matcher):
        if isinstance(node, ast.Compare):
            sides = (node.left, *node.comparators)
            if any(isinstance(side, ast.Name) and side.id == f"p_{field}" for side in sides):
                found |= {side.value for side in sides if isinstance(side, ast.Constant)}
    return frozenset(text for text in found if isinstance(text, str))
