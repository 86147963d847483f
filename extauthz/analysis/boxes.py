"""From a matcher and its rules to boxes: each rule as a union of conjunctions of atoms.

The matcher is brought into disjunctive form once; each rule's fields are then filled in. What compares
two request values, or calls what is no pattern of a regular language, is refused with the reason.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from extauthz.analysis.atom import Among, Atom, Box, Equal, Literal, Match, Role
from extauthz.analysis.unanswerable import Unanswerable
from extauthz.engine import reference
from extauthz.engine.clause import shown
from extauthz.engine.roles import RequestRoles

if TYPE_CHECKING:
    from extauthz.engine import Engine
    from extauthz.engine.model import Model
    from extauthz.engine.roles import RoleGraph

FUNCTIONS = frozenset({"keyMatch", "keyMatch2", "keyMatch3", "keyMatch4", "keyMatch5", "ipMatch"})
# Conjunctions that one matcher may come to.
MAX_BRANCHES = 64

# Patterns that match themselves alone, whatever keyMatch function reads them.
_LITERAL = re.compile(r"[A-Za-z0-9_/~@=,!&'%-]*")

Fields = Mapping[str, str]
# An atom with a rule's fields filled in; or, where the request does not matter, whether it holds.
Maker = Callable[[Fields], Atom | bool]
Template = tuple[tuple[Maker, bool], ...]


def boxes_of(engine: Engine) -> tuple[Box, ...]:
    """The boxes of all rules of an engine, in the order of the rules. Raises Unanswerable."""
    model = engine.model
    templates = _Reader(model, engine.graphs).branches(model.matcher, positive=True)
    found = []
    for number, rule in enumerate(engine.rules):
        fields = dict(zip(model.policy, rule.row.fields, strict=True))
        allows = rule.effect == reference.EFFECT_OF["allow"]
        for template in templates:
            literals = _filled(template, fields)
            if literals is not None:
                found.append(Box.of(number, allows, literals))
    return tuple(found)


def _filled(template: Template, fields: Fields) -> tuple[Literal, ...] | None:
    literals: dict[Literal, None] = {}
    for make, positive in template:
        atom = make(fields)
        if not isinstance(atom, bool):
            literals[Literal(atom, positive)] = None
        elif atom is not positive:
            return None
    return tuple(literals)


@dataclass(frozen=True, slots=True)
class _Reader:
    model: Model
    graphs: Mapping[str, RoleGraph]

    def branches(self, node: ast.expr, *, positive: bool) -> list[Template]:
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return self.branches(node.operand, positive=not positive)
        if isinstance(node, ast.Constant) and isinstance(node.value, bool):
            return [()] if node.value is positive else []
        if isinstance(node, ast.Compare) and len(node.ops) > 1:
            return self.branches(_pairs(node), positive=positive)
        if not isinstance(node, ast.BoolOp):
            make, polarity = self._atom(node)
            return [((make, positive is polarity),)]
        parts = [self.branches(value, positive=positive) for value in node.values]
        if isinstance(node.op, ast.And) is not positive:
            found = list(itertools.chain.from_iterable(parts))
        else:
            products = itertools.islice(itertools.product(*parts), MAX_BRANCHES + 1)
            found = [tuple(itertools.chain.from_iterable(chosen)) for chosen in products]
        if len(found) > MAX_BRANCHES:
            raise Unanswerable(f"the matcher has more than {MAX_BRANCHES} alternatives")
        return found

    def _atom(self, node: ast.expr) -> tuple[Maker, bool]:
        """The maker of an atom, and whether the expression holds where the atom does."""
        if isinstance(node, ast.Compare):
            operator, right = node.ops[0], node.comparators[0]
            if isinstance(operator, ast.Eq | ast.NotEq):
                return self._equal(node, node.left, right), isinstance(operator, ast.Eq)
            if isinstance(operator, ast.In | ast.NotIn) and isinstance(right, ast.Tuple | ast.List):
                return self._among(node, right.elts), isinstance(operator, ast.In)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
            if node.func.id in self.model.timed:
                raise Unanswerable(f"roles of {node.func.id} hold at some times only")
            if node.func.id in self.model.roles:
                return self._role(node, node.func.id), True
            if node.func.id in FUNCTIONS and len(node.args) == 2:
                return self._match(node, node.func.id), True
        raise Unanswerable(f"the matcher's {shown(node)} has no exact answer over all requests")

    def _equal(self, node: ast.Compare, left: ast.expr, right: ast.expr) -> Maker:
        if self._at(left) is None:
            left, right = right, left
        at, value = self._at(left), self._value(right)
        if value is None:
            raise Unanswerable(f"the matcher's {shown(node)} compares two values of the request")
        if at is None:
            other = self._value(left)
            assert other is not None  # noqa: S101 - what is no request value was read as one of the rule
            return lambda fields: other(fields) == value(fields)
        return lambda fields: Equal(at, value(fields))

    def _among(self, node: ast.Compare, elements: Sequence[ast.expr]) -> Maker:
        values = [self._value(element) for element in elements]
        if None in values:
            raise Unanswerable(f"the matcher's {shown(node)} compares two values of the request")
        known = [value for value in values if value is not None]
        at = self._at(node.left)
        if at is None:
            asked = self._value(node.left)
            assert asked is not None  # noqa: S101 - as above
            return lambda fields: asked(fields) in {value(fields) for value in known}
        return lambda fields: Among(at, frozenset(value(fields) for value in known))

    def _match(self, node: ast.Call, function: str) -> Maker:
        at, pattern = self._at(node.args[0]), self._value(node.args[1])
        if pattern is None:
            raise Unanswerable(f"the matcher's {shown(node)} takes its pattern from the request")
        if at is not None:
            return lambda fields: match(at, function, pattern(fields))
        asked = self._value(node.args[0])
        assert asked is not None  # noqa: S101 - as above
        matching = reference.matching_functions()[function]
        return lambda fields: bool(matching(asked(fields), pattern(fields)))

    def _role(self, node: ast.Call, graph: str) -> Maker:
        if len(node.args) != self.model.roles[graph]:
            raise Unanswerable(f"the matcher's {shown(node)} has not the values that {graph} is defined with")
        at, role = self._at(node.args[0]), self._value(node.args[1])
        if at is None or role is None:
            raise Unanswerable(f"the matcher's {shown(node)} does not ask for a role of a request value")
        domain, domain_at = self._domain(node)
        if at == self.model.subject:
            return lambda fields: Role(at, graph, role(fields), domain(fields), domain_at)
        if graph == "g" or domain_at is not None:
            raise Unanswerable(
                f"the matcher's {shown(node)} asks for roles of another value than the subject"
            )
        holders = Holders(self.graphs[graph])
        return lambda fields: Among(at, holders.of(role(fields), domain(fields)))

    def _domain(self, node: ast.Call) -> tuple[Callable[[Fields], str], int | None]:
        if len(node.args) < 3:
            return (lambda _: ""), None
        value = self._value(node.args[2])
        return (value, None) if value is not None else ((lambda _: ""), self._at(node.args[2]))

    def _at(self, node: ast.expr) -> int | None:
        if isinstance(node, ast.Name) and node.id.startswith("r_") and node.id[2:] in self.model.request:
            return self.model.request.index(node.id[2:])
        return None

    def _value(self, node: ast.expr) -> Callable[[Fields], str] | None:
        """How a value is had from the rule; None for one of the request."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            constant = node.value
            return lambda _: constant
        if isinstance(node, ast.Name) and node.id.startswith("p_") and node.id[2:] in self.model.policy:
            name = node.id[2:]
            return lambda fields: fields[name]
        if self._at(node) is None:
            raise Unanswerable(
                f"the matcher's {shown(node)} is neither a text nor a value of request or rule"
            )
        return None


class Holders:
    """Who holds a role of a graph that no request adds to."""

    def __init__(self, graph: RoleGraph) -> None:
        self._graph = graph
        self._by_domain: dict[str, dict[str, set[str]]] = {}

    def of(self, role: str, domain: str) -> frozenset[str]:
        domain = domain if self._graph.arity > 2 else ""
        if domain not in self._by_domain:
            self._by_domain[domain] = self._reversed(domain)
        return frozenset(self._by_domain[domain].get(role, ())) | {role}

    def _reversed(self, domain: str) -> dict[str, set[str]]:
        held = RequestRoles(self._graph, "", ())
        found: dict[str, set[str]] = {}
        for name in self._graph.domains.get(domain, {}):
            for role in held.reached(name, domain):
                found.setdefault(role, set()).add(name)
        return found


def match(at: int, function: str, pattern: str) -> Atom | bool:
    """The simplest atom that says the same as a pattern function."""
    if function == "keyMatch":
        if "*" not in pattern:
            return Equal(at, pattern)
        return True if pattern.startswith("*") else Match(at, function, pattern[: pattern.index("*") + 1])
    if function == "keyMatch2" and pattern == "*":
        return True
    if function not in {"ipMatch", "keyMatch5"} and _LITERAL.fullmatch(pattern):
        return Equal(at, pattern)
    return Match(at, function, pattern)


def _pairs(node: ast.Compare) -> ast.BoolOp:
    values = [node.left, *node.comparators]
    pairs: list[ast.expr] = [
        ast.Compare(left, [operator], [right])
        for (left, right), operator in zip(itertools.pairwise(values), node.ops, strict=True)
    ]
    return ast.BoolOp(ast.And(), pairs)
