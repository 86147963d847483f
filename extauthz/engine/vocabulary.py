"""The names that a matcher, or an expression in a rule, may use."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING

from extauthz.engine import reference
from extauthz.engine.extension import EVAL

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from extauthz.engine.extension import Extensions


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Field names are without their r_ and p_."""

    request: tuple[str, ...]
    policy: tuple[str, ...]
    roles: frozenset[str]
    extensions: Extensions

    def problems(self, tree: ast.expr) -> Iterator[tuple[str, str]]:
        """A code and a message for each name that means nothing."""
        called = {node.func for node in ast.walk(tree) if isinstance(node, ast.Call)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Lambda):
                yield "matcher", f"{ast.unparse(node)}: a lambda is never evaluated"
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == EVAL:
                yield from self._eval(node)
            elif isinstance(node, ast.Name) and node in called:
                if node.id != EVAL and node.id not in self._functions:
                    message = f"unknown function {node.id}(); one of your own is named in extauthz.functions"
                    yield "function", message
            elif isinstance(node, ast.Name) and node.id not in self._fields:
                shown = node.id.replace("_", ".", 1) if node.id[:2] in {"r_", "p_"} else node.id
                yield "name", f"{shown} is not defined; fields are {', '.join(self._shown)}"
            elif isinstance(node, ast.Attribute) and not hasattr(str, node.attr):
                yield "attribute", f".{node.attr}: the values of a request are texts and have none"

    def _eval(self, node: ast.Call) -> Iterator[tuple[str, str]]:
        if not self.extensions.eval_rules:
            message = (
                "eval() lets whoever writes a row of the policy write a part of the matcher; "
                "extauthz.eval_rules switches it on"
            )
            yield "eval", message
        elif embedded_field(node) not in self.policy:
            yield "eval", "eval() takes one field of the rule, as in eval(p.sub_rule)"

    @property
    def _functions(self) -> set[str]:
        known = reference.matching_functions()
        return {*known, *reference.EVALUATOR_FUNCTIONS, *self.roles, *self.extensions.functions}

    @property
    def _fields(self) -> set[str]:
        return {*(f"r_{name}" for name in self.request), *(f"p_{name}" for name in self.policy)}

    @property
    def _shown(self) -> Iterable[str]:
        return [f"r.{name}" for name in self.request] + [f"p.{name}" for name in self.policy]


def embedded_field(node: ast.AST) -> str | None:
    """The field of a rule that is evaluated by this part of a matcher; None: it is no eval(p.field)."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == EVAL):
        return None
    if len(node.args) != 1 or node.keywords or not isinstance(node.args[0], ast.Name):
        return None
    name = node.args[0].id
    return name[2:] if name.startswith("p_") else None
