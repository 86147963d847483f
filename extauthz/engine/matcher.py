"""The matcher, analysed: what each part of it compares, and whether it can be compiled exactly.

Rules:
- a matcher holds where one of its branches holds, a branch where all of its conjuncts hold;
- a conjunct with `tests` says what one field of a rule is compared with, and nothing else;
- what is not known to give pycasbin's answer for all texts makes the matcher inexact, with a reason.
"""

from __future__ import annotations

import ast
import enum
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from extauthz.engine.matcher_types import Inexact, check

if TYPE_CHECKING:
    from collections.abc import Iterable

    from extauthz.engine.model import Model

# More branches than that are one opaque condition: each has an index of its own.
MAX_BRANCHES = 8
PATTERNS = frozenset(
    {"keyMatch", "keyMatch2", "keyMatch3", "keyMatch4", "keyMatch5", "globMatch", "regexMatch", "ipMatch"}
)


class Scope(enum.Enum):
    """What a conjunct reads."""

    # One field of a rule, by `tests`.
    FIELD = "field"
    # Only request values; only fields of a rule; both, in a way that no index knows.
    REQUEST = "request"
    RULE = "rule"
    MIXED = "mixed"


@dataclass(frozen=True, slots=True)
class Test:
    """`function(value, p.field)`: "==", a role definition ("g") or a pattern function.

    `field` counts the fields of a rule. The value is a request value (`request` counts them), or `constant`
    where `request` is None. `domain` is the request value that a role definition takes as its domain.
    """

    function: str
    field: int
    request: int | None
    constant: str = ""
    domain: int | None = None

    @property
    def is_role(self) -> bool:
        return self.function not in PATTERNS and self.function != "=="


@dataclass(frozen=True, slots=True)
class Conjunct:
    """One part that has to hold. With `tests` it holds where any of them does; all are about one field.

    Several tests are comparisons and roles; a pattern stands alone.
    """

    node: ast.expr
    scope: Scope
    tests: tuple[Test, ...] = ()

    @property
    def field(self) -> int | None:
        return self.tests[0].field if self.tests else None


Branch = tuple[Conjunct, ...]


@dataclass(frozen=True, slots=True)
class Matcher:
    """A matcher's meaning. `inexact` says why it cannot be compiled; empty: it can."""

    tree: ast.expr
    branches: tuple[Branch, ...]
    inexact: str = ""


def analyse(model: Model) -> Matcher:
    """The meaning of a model's matcher."""
    reader = _Reader(model)
    branches = reader.branches(model.matcher)
    try:
        check(model.matcher, model)
    except Inexact as reason:
        return Matcher(model.matcher, branches, str(reason))
    return Matcher(model.matcher, branches)


@dataclass(frozen=True, slots=True)
class _Reader:
    model: Model

    def branches(self, node: ast.expr) -> tuple[Branch, ...]:
        whole = self._conjunct(node)
        if whole.tests or not isinstance(node, ast.BoolOp):
            return ((whole,),)
        parts = [self.branches(value) for value in node.values]
        found: Iterable[Branch]
        if isinstance(node.op, ast.Or):
            found = itertools.chain.from_iterable(parts)
        else:
            found = (tuple(itertools.chain.from_iterable(chosen)) for chosen in itertools.product(*parts))
        limited = tuple(itertools.islice(found, MAX_BRANCHES + 1))
        return limited if len(limited) <= MAX_BRANCHES else ((whole,),)

    def _conjunct(self, node: ast.expr) -> Conjunct:
        tests = self._tests(node)
        if tests:
            return Conjunct(node, Scope.FIELD, tests)
        names = {name.id[0] for name in ast.walk(node) if isinstance(name, ast.Name) and name.id[1:2] == "_"}
        if "p" not in names:
            return Conjunct(node, Scope.REQUEST)
        # Roles in it are a request's own.
        roles = any(isinstance(call, ast.Call) for call in ast.walk(node))
        return Conjunct(node, Scope.MIXED if "r" in names or roles else Scope.RULE)

    def _tests(self, node: ast.expr) -> tuple[Test, ...]:
        if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or):
            alternatives = [self._tests(value) for value in node.values]
            tests = tuple(itertools.chain.from_iterable(alternatives))
            same = len({test.field for test in tests}) == 1
            exact = not any(test.function in PATTERNS for test in tests)
            return tests if same and exact and all(alternatives) else ()
        test = self._comparison(node) if isinstance(node, ast.Compare) else self._call(node)
        return (test,) if test else ()

    def _comparison(self, node: ast.Compare) -> Test | None:
        if len(node.ops) != 1 or not isinstance(node.ops[0], ast.Eq):
            return None
        for left, right in itertools.permutations((node.left, node.comparators[0])):
            field = self._index(right, "p_", self.model.policy)
            if field is not None and isinstance(left, ast.Constant) and isinstance(left.value, str):
                return Test("==", field, None, left.value)
            request = self._index(left, "r_", self.model.request)
            if field is not None and request is not None:
                return Test("==", field, request)
        return None

    def _call(self, node: ast.expr) -> Test | None:
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or len(node.args) < 2:
            return None
        function, arguments = node.func.id, node.args
        request = self._index(arguments[0], "r_", self.model.request)
        field = self._index(arguments[1], "p_", self.model.policy)
        if request is None or field is None:
            return None
        if function in PATTERNS:
            return Test(function, field, request) if len(arguments) == 2 else None
        if function not in self.model.roles or len(arguments) != self.model.roles[function]:
            return None
        if len(arguments) == 2:
            return Test(function, field, request)
        domain = self._index(arguments[2], "r_", self.model.request)
        return None if domain is None else Test(function, field, request, domain=domain)

    @staticmethod
    def _index(node: ast.expr, prefix: str, names: tuple[str, ...]) -> int | None:
        if isinstance(node, ast.Name) and node.id.startswith(prefix) and node.id[2:] in names:
            return names.index(node.id[2:])
        return None
