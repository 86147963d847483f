"""pycasbin, typed: the one module that touches it. Its classes answer; nothing of it is ever shared.

Only its parts are used, never an Enforcer: an Enforcer keeps a role object for every name that it
is asked about, and a reload in place answers wrongly while it lasts.
"""

from __future__ import annotations

import ast
import warnings
import weakref
from typing import TYPE_CHECKING, Any

from casbin.constant import constants
from casbin.core_enforcer import CoreEnforcer
from casbin.effect import effect_to_bool, get_effector
from casbin.effect.effector import Effector
from casbin.model import FunctionMap, Model
from casbin.persist.adapter import _extract_tokens
from casbin.util import SimpleEval, escape_assertion

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# Hops from a subject to a role that Casbin follows: its level counts down from 10, the last is not tried.
MAX_HOPS = 9

ALLOW_OVERRIDE: str = constants.ALLOW_OVERRIDE_EFFECT
ALLOW_AND_DENY: str = constants.ALLOW_AND_DENY_EFFECT
DENY_OVERRIDE: str = constants.DENY_OVERRIDE_EFFECT
SUBJECT_PRIORITY: str = constants.SUBJECT_PRIORITY_EFFECT
EFFECTS: tuple[str, ...] = (
    ALLOW_OVERRIDE,
    DENY_OVERRIDE,
    ALLOW_AND_DENY,
    constants.PRIORITY_EFFECT,
    SUBJECT_PRIORITY,
)
# Names that Casbin's evaluator knows beside the matching functions.
EVALUATOR_FUNCTIONS = frozenset({"list", "tuple", "dict", "set"})


_FUNCTIONS: dict[str, Callable[..., Any]] = FunctionMap.load_function_map().get_functions()


def matching_functions() -> dict[str, Callable[..., Any]]:
    """Casbin's built-in matching functions by name; a dict of its own for each caller."""
    return dict(_FUNCTIONS)


def effect_text(text: str) -> str:
    """A policy_effect as Casbin compares it."""
    model = Model()
    model.add_def("e", "e", text)
    return str(model["e"]["e"].value)


def matcher_tree(text: str) -> ast.expr:
    """A matcher after Casbin's own rewriting ("r.sub" to r_sub, "&&" to and, …), parsed.

    Raises SyntaxError for what is not one expression.
    """
    model = Model()
    model.add_def("m", "m", text)
    return _parsed(model["m"]["m"].value)


def expression_tree(text: str) -> ast.expr:
    """An expression of a rule, for eval(), after Casbin's own rewriting, parsed. Raises SyntaxError."""
    # Unlike a matcher's, its comments are not cut off.
    return _parsed(escape_assertion(text))


def _parsed(text: str) -> ast.expr:
    with warnings.catch_warnings():
        # Of escapes like "\\d" in a matcher's texts, which mean what Casbin takes them for.
        warnings.simplefilter("ignore")
        expression = CoreEnforcer._get_expression(text, {})  # noqa: SLF001 - its only home
        _let_go(expression)
        body = ast.parse(expression.expr.strip()).body
    if len(body) != 1 or not isinstance(body[0], ast.Expr):
        raise SyntaxError("not one expression")
    return body[0].value


def tokens(line: str) -> list[str]:
    """What Casbin's loaders make of a line that is no comment. Raises IndexError for brackets that close nothing."""
    return list(_extract_tokens(line))


def evaluator(functions: dict[str, Callable[..., Any]]) -> Callable[[ast.expr, Mapping[str, Any]], object]:
    """Casbin's evaluator of parsed matchers. Not to be shared between requests; keeps `functions`."""
    simple = SimpleEval("", functions)

    def evaluate(tree: ast.expr, names: Mapping[str, Any]) -> object:
        simple.ast_parsed_value = tree
        result: object = simple.eval(names)
        return result

    weakref.finalize(evaluate, _let_go, simple).atexit = False
    return evaluate


def _let_go(simple: SimpleEval) -> None:
    """It holds itself by its own methods: garbage that only a search would find, which there is none while a policy is
    built, nor ever among what was made then (extauthz.pace).
    """
    simple.nodes.clear()


class EffectRule:
    """How the matching rows' effects become the answer, by Casbin's own effectors. Stateless."""

    def __init__(self, text: str) -> None:
        self._effector = get_effector(text)

    def decided(self, effects: set[int]) -> bool:
        """Whether no further row can change the answer."""
        return bool(self._effector.intermediate_effect(effects) != Effector.INDETERMINATE)

    def allowed(self, effects: set[int]) -> bool:
        return bool(effect_to_bool(self._effector.final_effect(effects)))


EFFECT_OF: Mapping[str, int] = {"allow": Effector.ALLOW, "deny": Effector.DENY}
INDETERMINATE: int = Effector.INDETERMINATE


def sorted_rows(
    fields: Sequence[str], effect: str, rows: list[list[str]], links: Sequence[Sequence[str]]
) -> list[list[str]]:
    """The rows in the order in which Casbin tries them: by priority or subject hierarchy where the model
    asks for it, else as written. The same list objects come back. Raises RuntimeError on a role cycle
    where the hierarchy is needed.
    """
    model = Model()
    model.add_def("r", "r", "sub")
    model.add_def("p", "p", ", ".join(fields))
    model.add_def("e", "e", effect)
    model.add_def("g", "g", "_, _")
    model["g"]["g"].policy = [list(link) for link in links]
    model["p"]["p"].policy = rows
    model.sort_policies_by_subject_hierarchy()
    model.sort_policies_by_priority()
    ordered: list[list[str]] = model["p"]["p"].policy
    return ordered
