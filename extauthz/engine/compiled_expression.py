"""The matcher as a Python expression: pattern functions become compiled tests, g() a look into what is held."""

from __future__ import annotations

import ast
import copy
from typing import TYPE_CHECKING, Any

from extauthz.engine import reference
from extauthz.engine.held import Holder, names_of
from extauthz.engine.matcher import Test
from extauthz.engine.patterns import BY_LINES, LINE_COMPILERS, Tests, tried
from extauthz.engine.roles import RequestRoles

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from extauthz.engine.model import Model
    from extauthz.engine.roles import RoleGraph

# The name of what knows all that a subject is, where that is asked without a domain.
HOLDER = "holder"
# Stands before a field's name where it is so rarely looked at that it need not lie in the entry.
WHOLE = "whole_"
# A role definition, the request value that it is asked about, and the one that is its domain.
Slot = tuple[str, int, int | None]


class Expression:
    """Writes parts of a matcher, and collects the objects that the texts name."""

    def __init__(
        self, model: Model, graphs: Mapping[str, RoleGraph], rules: Sequence[tuple[str, ...]]
    ) -> None:
        self._model = model
        self._graphs = graphs
        self._rules = rules
        self._slots: dict[Slot, int] = {}
        # Those of which an index needs all names in a row.
        self._listed: set[int] = set()
        self._compared: dict[str, set[int]] = {}
        self._free: set[str] = set()
        # Which compiled tests an entry needs, by function and field: the number of each, test0 with text0 and so on.
        self.tests: dict[tuple[str, str], int] = {}
        # Request values that are addresses.
        self.addresses: set[str] = set()
        # Request values whose tests differ where they hold a line break; `ragged` then says that one does.
        self.by_lines: set[str] = set()
        self.names: dict[str, Any] = {}

    def text(self, node: ast.expr) -> str:
        """The expression for a part of the matcher."""
        return ast.unparse(_Rewriting(self).visit(copy.deepcopy(node)))

    def held(self, test: Test) -> str:
        """The name of all that a request value is, for a test by a role definition."""
        number = self.slot(test)
        self._listed.add(number)
        return f"held{number}"

    def slot(self, test: Test) -> int:
        """The number of what is held for a test."""
        self._compared.setdefault(test.function, set()).add(test.field)
        key = test.function, test.request or 0, test.domain
        return self._slots.setdefault(key, len(self._slots))

    def opening(self) -> Iterable[str]:
        """The lines that look up what is held; after all texts are written."""
        request = self._model.request
        subject = f"r_{request[self._model.subject]}"
        for (name, asked, domain), number in self._slots.items():
            if f"holder_{name}" not in self.names:
                self.names[f"holder_{name}"] = Holder(self._graphs[name], self._values(name))
            last = "" if domain is None else f", r_{request[domain]}"
            variables = f"own{number}, brought{number}"
            if (name, asked, domain) == ("g", self._model.subject, None):
                self.names[HOLDER] = self.names[f"holder_{name}"]
                yield f"{variables} = held or {HOLDER}.held({subject}, roles)"
            elif name != "g":
                yield f"{variables} = holder_{name}.held(r_{request[asked]}, (){last})"
            elif asked == self._model.subject:
                yield f"{variables} = holder_{name}.held({subject}, roles{last})"
            else:
                yield f"{variables} = holder_{name}.held_by_other(r_{request[asked]}, {subject}, roles{last})"
            if number in self._listed:
                self.names["names_of"] = names_of
                yield f"held{number} = names_of(r_{request[asked]}, own{number}, brought{number})"
        for name in sorted(self._free):
            self.names |= {"RequestRoles": RequestRoles, f"graph_{name}": self._graphs[name]}
            roles = "roles" if name == "g" else "()"
            yield f"call_{name} = RequestRoles(graph_{name}, {subject}, {roles}).function()"

    def _values(self, name: str) -> frozenset[str]:
        return frozenset(rule[field] for field in self._compared[name] for rule in self._rules)

    def call(self, node: ast.Call) -> ast.expr:
        """What a call becomes."""
        function = node.func.id if isinstance(node.func, ast.Name) else ""
        if function in self._model.roles:
            return self._role(function, node)
        value, pattern = node.args
        if not isinstance(pattern, ast.Name):
            if isinstance(pattern, ast.Constant) and isinstance(value, ast.Name):
                name = f"constant{len(self.names)}"
                self.names |= {"tried": tried, name: LINE_COMPILERS[function](str(pattern.value))}
                return _parsed(f"tried({name}, {value.id})")
        elif pattern.id.startswith("p_") and isinstance(value, ast.Name) and value.id.startswith("r_"):
            number = self.tests.setdefault((function, pattern.id[2:]), len(self.tests))
            argument = value.id
            if function == "ipMatch":
                argument = f"a_{value.id[2:]}"
                self.addresses.add(value.id[2:])
            matches = f"test{number}({argument}, text{number})"
            if function in BY_LINES:
                self.by_lines.add(value.id)
                self.names |= {"tried": tried}
                self.names.setdefault(f"lines_{function}", Tests(LINE_COMPILERS[function]))
                by_lines = f"tried(lines_{function}[{WHOLE}{pattern.id}], {argument})"
                matches = f"({by_lines} if ragged else {matches})"
            return _parsed(matches)
        # keyMatch alone takes anything.
        self.names[f"call_{function}"] = reference.matching_functions()[function]
        node.func = ast.Name(f"call_{function}")
        return node

    def _role(self, name: str, node: ast.Call) -> ast.expr:
        test = self._test(name, node)
        if test is None:
            self._free.add(name)
            node.func = ast.Name(f"call_{name}")
            return node
        number, field = self.slot(test), f"p_{self._model.policy[test.field]}"
        asked = f"r_{self._model.request[test.request or 0]}"
        # First what is found by identity, which looks at no other text: a role that the policy gives.
        return _parsed(f"({field} in own{number} or {field} == {asked} or {field} in brought{number})")

    def _test(self, name: str, node: ast.Call) -> Test | None:
        names = [argument.id if isinstance(argument, ast.Name) else "" for argument in node.args]
        request = [self._model.request.index(text[2:]) if text[:2] == "r_" else None for text in names]
        if request[0] is None or names[1][:2] != "p_" or (len(names) > 2 and request[2] is None):
            return None
        field = self._model.policy.index(names[1][2:])
        return Test(name, field, request[0], domain=request[2] if len(names) > 2 else None)


class _Rewriting(ast.NodeTransformer):
    def __init__(self, expression: Expression) -> None:
        self._expression = expression

    def visit_Call(self, node: ast.Call) -> ast.expr:
        return self._expression.call(node)


class _Placed(ast.NodeTransformer):
    """Names become what stands at their places."""

    def __init__(self, places: Mapping[str, str]) -> None:
        self._places = places

    def visit_Name(self, node: ast.Name) -> ast.expr:
        place = self._places.get(node.id)
        return node if place is None else _parsed(place)


def placed(matches: str, places: Mapping[str, str]) -> str:
    """The expression with names replaced by what stands for them."""
    return ast.unparse(_Placed(places).visit(ast.parse(matches, mode="eval")))


def _parsed(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body
