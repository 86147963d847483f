"""Expressions that stand in rules, where the matcher says eval(p.field).

Casbin puts the text of the field into the text of the matcher, in brackets. Here it has to be an expression by
itself, so that it cannot close the bracket and go on with the matcher (`a) or (b`); then the parsed field in
place of the call is the same. Casbin's sandboxed evaluator runs it, never Python's.
"""

from __future__ import annotations

import ast
import copy
import functools
from typing import TYPE_CHECKING

from extauthz.engine import reference
from extauthz.engine.vocabulary import embedded_field

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from extauthz.engine.model import Model


def expression_problem(model: Model, text: str) -> tuple[str, str] | None:
    """What is wrong with an expression in a rule."""
    try:
        tree = _parsed(text)
    except (SyntaxError, ValueError, IndexError, AttributeError, RecursionError, MemoryError) as error:
        return "eval", f"{text!r} is no expression by itself: {error}"
    if any(embedded_field(node) for node in ast.walk(tree)):
        return "eval", f"{text!r}: eval() within what is evaluated"
    return next((("eval", f"{text!r}: {message}") for _, message in model.vocabulary.problems(tree)), None)


def embedded_fields(tree: ast.expr) -> tuple[str, ...]:
    """The fields of a rule that a matcher evaluates."""
    return tuple(dict.fromkeys(name for node in ast.walk(tree) if (name := embedded_field(node))))


def filled(part: ast.expr, model: Model, fields: Sequence[str]) -> ast.expr:
    """A part of the matcher with a rule's expressions put in; the part itself where there are none."""
    if not model.embedded:
        return part
    texts = {name: fields[model.policy.index(name)] for name in model.embedded}
    filled_in: ast.expr = _Filling(texts).visit(copy.deepcopy(part))
    return filled_in


class _Filling(ast.NodeTransformer):
    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts

    def visit_Call(self, node: ast.Call) -> ast.AST:
        field = embedded_field(node)
        return self.generic_visit(node) if field is None else _parsed(self._texts[field])


@functools.lru_cache(1024)
def _parsed(text: str) -> ast.expr:
    tree = reference.expression_tree(text)
    # A comment would comment out the rest of the matcher.
    reference.expression_tree(f"({text})")
    return tree
