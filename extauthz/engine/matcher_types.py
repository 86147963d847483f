"""Which matchers can be compiled: those that give true or false, never fail, and mean in Python what they mean to Casbin.

Texts and truths are all there is. Whatever else a matcher holds is a reason to leave it to pycasbin.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from extauthz.engine import reference
from extauthz.engine.translation import check_groups

if TYPE_CHECKING:
    from extauthz.engine.model import Model

_TEXT, _TRUTH, _OTHER, _LIST = "a text", "true or false", "a number", "a list"
_ORDER = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)
# Functions of two texts. Only keyMatch takes any text for its pattern.
_PATTERNS = frozenset({"keyMatch2", "keyMatch3", "keyMatch4", "keyMatch5", "globMatch", "regexMatch"})
_LONGEST = 10_000


class Inexact(Exception):  # noqa: N818 - a reason, not an error
    """Why a matcher is left to pycasbin."""


def check(tree: ast.expr, model: Model) -> None:
    """Raises Inexact for a matcher that cannot be compiled."""
    kind = _kind(tree, model)
    if kind != _TRUTH:
        raise Inexact(f"the matcher gives {kind}, not true or false")


def _kind(node: ast.expr, model: Model) -> str:
    if isinstance(node, ast.Constant):
        return _constant(node)
    if isinstance(node, ast.Name):
        return _TEXT
    if isinstance(node, ast.BoolOp):
        for value in node.values:
            _want(_TRUTH, value, model)
        return _TRUTH
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        _kind(node.operand, model)
        return _TRUTH
    if isinstance(node, ast.Compare):
        return _compare(node, model)
    if isinstance(node, ast.Call):
        return _call(node, model)
    raise Inexact(f"{_shown(node)} is not compiled")


def _constant(node: ast.Constant) -> str:
    value = node.value
    if isinstance(value, bool):
        return _TRUTH
    if isinstance(value, str) and len(value) <= _LONGEST:
        return _TEXT
    if isinstance(value, int | float):
        return _OTHER
    raise Inexact(f"the constant {_shown(node)[:40]} is not compiled")


def _compare(node: ast.Compare, model: Model) -> str:
    if len(node.ops) != 1:
        raise Inexact(f"{_shown(node)}: comparisons in a row are not compiled")
    operator, right = node.ops[0], node.comparators[0]
    kinds = _kind(node.left, model), _right(right, model)
    if isinstance(operator, ast.Eq | ast.NotEq) and _LIST not in kinds:
        return _TRUTH
    if isinstance(operator, _ORDER) and kinds == (_TEXT, _TEXT):
        return _TRUTH
    if isinstance(operator, ast.In | ast.NotIn) and kinds in {(_TEXT, _TEXT), (_TEXT, _LIST)}:
        return _TRUTH
    raise Inexact(f"{_shown(node)} compares {kinds[0]} with {kinds[1]}")


def _right(node: ast.expr, model: Model) -> str:
    if isinstance(node, ast.Tuple | ast.List):
        for element in node.elts:
            _want(_TEXT, element, model)
        return _LIST
    return _kind(node, model)


def _call(node: ast.Call, model: Model) -> str:
    if not isinstance(node.func, ast.Name) or node.keywords:
        raise Inexact(f"{_shown(node)} is not compiled")
    name = node.func.id
    for argument in node.args:
        _want(_TEXT, argument, model)
    if name in model.roles:
        if len(node.args) != model.roles[name]:
            raise Inexact(f"{_shown(node)}: {name} is defined with {model.roles[name]} values")
        if name in model.timed:
            raise Inexact(f"roles of {name} hold at some times only")
    elif name not in {*_PATTERNS, "keyMatch", "ipMatch"}:
        raise Inexact(f"{name}() is not compiled")
    elif len(node.args) != 2:
        raise Inexact(f"{_shown(node)}: {name} compares two values")
    elif name != "keyMatch":
        _pattern(name, node)
    return _TRUTH


def _pattern(name: str, node: ast.Call) -> None:
    value, pattern = node.args
    if not _is_request(value):
        raise Inexact(f"{_shown(node)}: only a value of the request is matched with patterns")
    if isinstance(pattern, ast.Constant):
        try:
            reference.matching_functions()[name]("10.0.0.1", pattern.value)
            if name == "keyMatch4":
                check_groups(str(pattern.value))
        except Exception as error:
            raise Inexact(f"{_shown(node)}: {error}") from error
        if name == "ipMatch":
            raise Inexact(f"{_shown(node)}: a constant network is not compiled")
    elif _is_request(pattern):
        raise Inexact(f"{_shown(node)}: a value of the request is the pattern")


def _is_request(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id.startswith("r_")


def _want(kind: str, node: ast.expr, model: Model) -> None:
    found = _kind(node, model)
    if found != kind:
        raise Inexact(f"{_shown(node)} is {found} where {kind} is needed")


def _shown(node: ast.expr) -> str:
    return re.sub(r"\b([rp])_(?=[A-Za-z_])", r"\1.", ast.unparse(node))
