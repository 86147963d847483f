"""A policy, compiled: from a request's values to the rule that decides, in one Python function.

The function is written from the matcher's checked tree (extauthz.engine.matcher_types): for each request
it asks the index of every branch, tries the full matcher on what they found, and folds the effects.
Rules that do not match never count in any of Casbin's effects, so the order of trying does not matter:
the deciding rule is the first (or last) matching one of its effect in the order of the policy.

Each rule is one entry: its place, whether it denies, its verdict, its fields, and the tests of its patterns with
their texts. All that a decision looks at lies in it, and no more: at 100,000 rules the time goes into memory that no
cache holds. So the text of a test is, wherever it can be, the very one that the index has just compared.
"""

from __future__ import annotations

import ast
import ipaddress
import itertools
from typing import TYPE_CHECKING, Any

from extauthz.engine import reference
from extauthz.engine.compiled_expression import HOLDER, WHOLE, Expression, placed
from extauthz.engine.first_look import first_look, indented
from extauthz.engine.heads import indexed_value
from extauthz.engine.held import WIDE
from extauthz.engine.index import Heads
from extauthz.engine.index_build import Builder, dimensions_of
from extauthz.engine.matcher import PATTERNS, Scope
from extauthz.engine.memory import drain
from extauthz.engine.patterns import COMPILERS, Tests

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import FunctionType

    from extauthz.engine.held import Held
    from extauthz.engine.index import Context
    from extauthz.engine.matcher import Branch, Matcher, Test
    from extauthz.engine.model import Model
    from extauthz.engine.roles import RoleGraph
    from extauthz.engine.rules import Rules


# Where in an entry the verdict is.
VERDICT_AT = 2

# Nearly always one rule is found: where it is in the order, and which way it decides, need not be looked at then.
_ONE = """\
if len(found) == 1:
    (entry,) = found
    return entry if {allowing}{matches} else None
"""
_FIRST = """\
best, first = None, end
for entry in found:
    if entry[0] < first and {allowing}{matches}:
        best, first = entry, entry[0]
return best"""
_DENY_BEFORE_ALLOW = """\
deny = allow = None
first, last = end, -1
for entry in found:
    if (entry[0] < first if entry[1] else entry[0] > last) and {matches}:
        if entry[1]:
            deny, first = entry, entry[0]
        else:
            allow, last = entry, entry[0]
return allow if deny is None else deny"""


class NotCompiled(Exception):  # noqa: N818 - a way out, not an error
    """A request outside of what was compiled: values that are no texts, or no addresses."""


def compiled(model: Model, matcher: Matcher, rules: Rules, graphs: Mapping[str, RoleGraph]) -> FunctionType:
    """The function of a policy whose matcher is exact.

    `decide(values, roles, held)` gives the entry of the deciding rule, or None; it raises NotCompiled. `held` may be
    left out, or is what `held_by` gives for the subject in these values and for these roles.
    """
    writer = _Writer(model, matcher, rules, graphs)
    code = compile(writer.source(), "<the compiled matcher>", "exec")
    exec(code, writer.names)  # noqa: S102 - written from the checked tree
    # Its globals must not name it: a policy that is replaced has to go at once, not when garbage is collected.
    decide: FunctionType = writer.names.pop("decide")
    return decide


def held_by(decide: FunctionType, subject: str, roles: tuple[str, ...]) -> Held | None:
    """What the policy of this function says that a subject is, for asking it again.

    None where that is not all it takes, and for so many roles that only the policy may keep them, which has a bound.
    """
    holder = decide.__globals__.get(HOLDER)
    if not holder:
        return None
    held: Held = holder.held(subject, roles)
    return None if frozenset in map(type, held) else held


class _Writer:
    """Writes the function, and collects the objects that it names."""

    def __init__(self, model: Model, matcher: Matcher, rules: Rules, graphs: Mapping[str, RoleGraph]) -> None:
        self._model = model
        self._matcher = matcher
        self._rules = rules
        self._graphs = graphs
        self._expression = Expression(model, graphs, rules.fields)
        # What the indexes are asked with, one place each.
        self._asked: dict[tuple[Test, ...], int] = {}
        self.names: dict[str, Any] = {
            "NotCompiled": NotCompiled,
            "end": len(rules),
            "variants": _variants,
            "indexed_value": indexed_value,
            "address": _address,
        }

    def source(self) -> str:
        """The text of `decide`; fills `names`."""
        matches = self._expression.text(self._matcher.tree)
        looked_at = {node.id for node in ast.walk(ast.parse(matches)) if isinstance(node, ast.Name)}
        fields = [at for at, name in enumerate(self._model.policy) if f"p_{name}" in looked_at]
        places = self._places(fields)
        texts = {
            (function, self._model.policy.index(field)): places[f"text{number}"]
            for (function, field), number in self._expression.tests.items()
        }
        self._builder = Builder(self._rules.fields, self._entries(fields), texts)
        branches = [
            line
            for number, branch in enumerate(self._matcher.branches)
            for line in self._branch(number, branch)
        ]
        context = "".join(f"{value}, " for value in self._context())
        lines = [
            *self._values(),
            f"ragged = {self._line_breaks()}",
            *self._expression.opening(),
            f"context = ({context})",
            "found = []",
            *branches,
            *self._fold(self._looked_up(matches, places)).split("\n"),
        ]
        self._builder.close()
        self.names.update(self._expression.names)
        return "def decide(values, roles, held=None):\n" + "".join(f"    {line}\n" for line in lines)

    def _values(self) -> Iterable[str]:
        names = [f"r_{name}" for name in self._model.request]
        yield f"{', '.join(names)}, = values"
        yield f"if not (str is {' is '.join(f'{name}.__class__' for name in names)}):"
        yield "    raise NotCompiled"
        for name in sorted(self._expression.addresses):
            yield f"a_{name} = address(r_{name})"

    def _tests(self) -> Iterable[Test]:
        conjuncts = itertools.chain.from_iterable(self._matcher.branches)
        return dict.fromkeys(test for conjunct in conjuncts for test in conjunct.tests)

    def _context(self) -> Iterable[str]:
        for tests in self._asked:
            if self._builder.used.isdisjoint({self._asked[tests]}):
                yield "None"
                continue
            value = ", ".join(self._asked_with(test) for test in tests)
            if tests[0].function in PATTERNS:
                yield value
            else:
                yield value.removeprefix("*") if len(tests) == 1 and tests[0].is_role else f"({value},)"

    def _asked_with(self, test: Test) -> str:
        if test.request is None:
            return repr(test.constant)
        value = f"r_{self._model.request[test.request]}"
        if test.is_role:
            return f"*{self._expression.held(test)}"
        if test.function == "ipMatch":
            return f"a_{value[2:]}"
        if test.function in {"keyMatch5", "globMatch"}:
            return f"indexed_value({test.function!r}, {value})"
        return value

    def _line_breaks(self) -> str:
        """Whether a value holds a line break: to an expression its end is not the end of the text."""
        names = {
            f"r_{self._model.request[test.request]}"
            for test in self._tests()
            if test.request is not None and test.function in PATTERNS - {"keyMatch", "ipMatch"}
        }
        names |= self._expression.by_lines
        return " or ".join(f"'\\n' in {name}" for name in sorted(names)) or "False"

    def _places(self, fields: Sequence[int]) -> dict[str, int]:
        """Where in an entry is what: these fields, then tests with their texts, as `_entries` puts them."""
        names = [f"p_{self._model.policy[at]}" for at in fields]
        for number in self._expression.tests.values():
            names += f"test{number}", f"text{number}"
        return {name: at for at, name in enumerate(names, VERDICT_AT + 1)}

    def _looked_up(self, matches: str, places: Mapping[str, int]) -> str:
        """The expression with each name as what stands for it in an entry, or in its verdict."""
        whole = {
            f"{WHOLE}p_{name}": f"entry[{VERDICT_AT}].rule[{at}]"
            for at, name in enumerate(self._model.policy)
        }
        return placed(matches, whole | {name: f"entry[{at}]" for name, at in places.items()})

    def _entries(self, fields_in: Sequence[int]) -> list[tuple[Any, ...]]:
        rules = self._rules
        tests = [
            (Tests(COMPILERS[function]), self._model.policy.index(field))
            for function, field in self._expression.tests
        ]
        entries = [
            (
                *(place, denies, verdict),
                *[fields[at] for at in fields_in],
                *[part for compiled, at in tests for part in compiled[fields[at]]],
            )
            for place, (denies, verdict, fields) in enumerate(
                zip(rules.denies, rules.verdicts, rules.fields, strict=True)
            )
        ]
        drain(*(compiled for compiled, _ in tests))
        return entries

    def _branch(self, number: int, branch: Branch) -> Iterable[str]:
        guards = [conjunct.node for conjunct in branch if conjunct.scope is Scope.REQUEST]
        rules = self._chosen(branch)
        conjuncts = [conjunct.tests for conjunct in branch if conjunct.tests]
        dimensions = dimensions_of(conjuncts, self._place)
        narrow = self._builder.tree(rules, dimensions)
        asks = list(self._ask(f"index{number}", narrow))
        roles = [test for tests in conjuncts for test in tests if test.is_role]
        if any(self._graphs[test.function].shape.widest > WIDE for test in roles):
            others = [other for other in dimensions if not any(test.is_role for test in other.tests)]
            many = " or ".join(f"len({self._expression.held(test)}) > {WIDE}" for test in roles)
            wide = self._ask(f"wide{number}", self._builder.tree(rules, others))
            asks = [f"if {many}:", *indented(wide), "else:", *indented(asks)]
        if guards:
            yield f"if {' and '.join(f'({self._expression.text(guard)})' for guard in guards)}:"
            asks = list(indented(asks))
        yield from asks

    def _ask(self, name: str, node: Any) -> Iterable[str]:
        self.names[name] = node
        if isinstance(node, list):
            yield f"found += {name}"
        elif isinstance(node, tuple):
            yield f"found.append({name})"
        else:
            yield "if ragged:"
            yield f"    for variant in variants(context): {name}.collect(variant, found)"
            yield "else:"
            if isinstance(node, Heads):
                yield from indented(first_look(name, node, self.names))
            else:
                yield f"    {name}.collect(context, found)"

    def _place(self, tests: tuple[Test, ...]) -> int:
        return self._asked.setdefault(tests, len(self._asked))

    def _chosen(self, branch: Branch) -> Sequence[int]:
        """The rules for which everything holds in a branch that asks about the rule alone."""
        conditions = [conjunct.node for conjunct in branch if conjunct.scope is Scope.RULE]
        every = range(len(self._rules))
        if not conditions:
            return every
        condition = " and ".join(f"({self._expression.text(node)})" for node in conditions)
        text = f"[i for i in every for ({self._fields()},) in (rules[i],) if {condition}]"
        chosen: list[int] = eval(text, {"rules": self._rules.fields, "every": every})  # noqa: S307 - as above
        return chosen

    def _fields(self) -> str:
        return ", ".join(f"p_{name}" for name in self._model.policy)

    def _fold(self, matches: str) -> str:
        effect = self._model.effect
        denies_first = effect in {reference.DENY_OVERRIDE, reference.ALLOW_AND_DENY}
        text = _DENY_BEFORE_ALLOW if denies_first else _FIRST
        # What denies never decides under allow-override.
        allowing = "not entry[1] and " if effect == reference.ALLOW_OVERRIDE else ""
        return (_ONE + text).format(matches=f"({matches})", allowing=allowing)


def _variants(context: Context) -> list[Context]:
    """A context, and each that it is without a line break at the end of some of its texts."""
    choices = [
        (value, value[:-1]) if isinstance(value, str) and value.endswith("\n") else (value,)
        for value in context
    ]
    return list(itertools.product(*choices))


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise NotCompiled from None
