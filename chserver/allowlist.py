"""The first wall before a reader: every node of the statement, as the engine parsed it, must be known. Pure.

- One statement: SELECT (WITH, UNION, subqueries), EXPLAIN of one, SHOW of tables, columns and settings.
- Every function, table function, table, format and setting must be listed in reader_rules.py.
- No INTO OUTFILE, and no parameter in the place of a name: it would be filled in behind our back.
- What is not known is refused. What passes is written out again from the same tree and only that
  text runs, so the engine cannot read the statement in another way than it was read here.

The second wall is the engine's: grants.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chserver import reader_rules as rules
from chserver import syntax, texts
from chserver.errors import INTO_OUTFILE_NOT_ALLOWED, ClickHouseError, denied
from chserver.scope import children, scoped

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    Node = Mapping[str, Any]

# `x IN name` reads a table of that name.
_IN = frozenset(
    f"{prefix}{word}{suffix}"
    for prefix in ("", "global")
    for word in ("in", "notin", "nullin", "notnullin")
    for suffix in ("", "ignoreset")
)
_BY_TEXT = frozenset({"arrayreduce", "arrayreduceinranges", "initializeaggregation"})
_OF_COLUMNS = frozenset({"null", "sqlstandardvalues", "values"})
_CATALOGUES = frozenset({"information_schema", "system"})


@dataclass(frozen=True, slots=True)
class Rules:
    """How far a reader may go. `bounds` gives each setting of reader_rules.BOUNDED its greatest value."""

    bounds: Mapping[str, float]

    def check(self, tree: Node, current: str) -> None:
        """Raises ClickHouseError, which says what is not allowed. `current` is the current database, or ""."""
        if str(tree.get("type")) not in syntax.STATEMENTS:
            raise denied(
                f"{tree.get('type', 'this')} is no statement for a reader; use SELECT, EXPLAIN, SHOW or DESCRIBE"
            )
        for place, node in _nodes("", tree):
            _known(node)
            if special := _PLACES.get(place) or _KINDS.get(node["type"]):
                special(self, node)
        for node, names in scoped(tree):
            _tables_of(node, names, current)

    def settings(self, settings: Mapping[str, str]) -> None:
        """Whether a reader may set these. Raises ClickHouseError."""
        for name, value in settings.items():
            self.setting(name, value)

    def setting(self, name: str, value: object) -> None:
        """Whether a reader may set this. Raises ClickHouseError."""
        if name in rules.BOUNDED:
            if not _within(str(value), self.bounds[name]):
                raise denied(
                    f"setting {name}: a reader may set it to at most {self.bounds[name]:.15g}, not to {value}"
                )
        elif name not in rules.SETTINGS:
            raise denied(f"setting {name} is not one that a reader may set")

    def database(self, name: str) -> None:
        """Whether a reader may stand in this database. Raises ClickHouseError."""
        if name not in {"", rules.NOWHERE, rules.DATABASE}:
            raise denied(f"database {name} is not open to readers; {rules.DATABASE} is")

    def form(self, name: str) -> None:
        """Whether a reader may ask for this format. Raises ClickHouseError."""
        if name not in rules.FORMATS:
            raise denied(f"format {name} is not open to readers")


def plain_names(tree: Node) -> frozenset[str]:
    """The names without a database or table before them: columns, aliases, or functions, see `no_functions`."""
    return frozenset(node["name"] for _, node in _nodes("", tree) if node["type"] == "Identifier")


def no_functions(names: Collection[str]) -> None:
    """Raises ClickHouseError if one of these functions may not be used.

    `arrayMap(file, ['/etc/passwd'])` calls a function by its bare name, in the place of a column's.
    """
    for name in names:
        if not rules.function_allowed(name) or name.lower() in _BY_TEXT:
            raise denied(f"{name} is the name of a function that is not open to readers")


# At least a millisecond: less might be rounded to 0, which is no bound.
_BOUND = re.compile(r"[0-9]{1,18}(\.[0-9]{1,3})?")


def _nodes(place: str, node: Node) -> Iterator[tuple[str, Node]]:
    """Every node with the place where it stands: its parent's type and key."""
    yield place, node
    for key, child in children(node):
        yield from _nodes(f"{node['type']}.{key}", child)


def _known(node: Node) -> None:
    if "out_file" in node:
        raise ClickHouseError(INTO_OUTFILE_NOT_ALLOWED, "INTO OUTFILE is not allowed")
    known = syntax.NODES.get(node["type"])
    if known is None:
        raise denied(f"{node['type']} is nothing that a reader may use")
    for key in sorted(node.keys() - known):
        raise denied(f"{key} of {node['type']} is nothing that a reader may use")


def _function(_: Rules, node: Node) -> None:
    _callable(node["name"])
    if node["name"].lower() in _BY_TEXT:
        # arrayReduce('sum', …): the name of an aggregate function, with its parameters behind it.
        first = [*node.get("arguments", {}).get("children", []), {}][0]
        text = first.get("value", {}).get("value")
        name = texts.aggregate(text) if isinstance(text, str) else None
        if name is None:
            raise denied(
                f"function {node['name']}: its first argument must be the text of a function's name, with plain "
                "numbers and texts as its parameters"
            )
        _callable(name)


def _callable(name: str) -> None:
    if not rules.function_allowed(name):
        raise denied(f"function {name} is not open to readers")


def _applied(_: Rules, node: Node) -> None:
    name = node.get("func_name")
    if name is not None:
        _callable(name)
        if name.lower() in _BY_TEXT:
            raise denied(f"function {name} must be called with the text of a function's name")


def _table_function(_: Rules, node: Node) -> None:
    if node["name"].lower() not in rules.TABLE_FUNCTIONS:
        raise denied(f"table function {node['name']} is not open to readers")
    if node["name"].lower() in _OF_COLUMNS:
        _columns(node)


def _columns(node: Node) -> None:
    """values() and null() take the text of a list of columns, and columns may have expressions."""
    first = [*node.get("arguments", {}).get("children", []), {}][0]
    text = first.get("value", {}).get("value") if first.get("type") == "Literal" else None
    if node["name"].lower() == "null" and not isinstance(text, str):
        raise denied("table function null: its argument must be the text of a list of columns")
    if isinstance(text, str) and not texts.plain_columns(text):
        raise denied(
            f"table function {node['name']}: a first argument that is a text must list columns, each a name and a type"
        )


def _tables_of(node: Node, names: Collection[str], current: str) -> None:
    """Every table that the node names must be open. `names` are those that WITH has given to queries there."""
    if node["type"] == "TableIdentifier":
        _named(node, names, current)
    elif node["type"] == "Function" and node["name"].lower() in _IN:
        for argument in node.get("arguments", {}).get("children", [])[1:]:
            if argument.get("type") == "Identifier":
                _named(argument, names, current)
    elif node["type"] in {"ShowColumnsQuery", "ShowIndexesQuery"}:
        _open(node.get("database") or current, node["table"])


def _named(node: Node, names: Collection[str], current: str) -> None:
    parts = node.get("name_parts") or [node["name"]]
    if len(parts) > 2 or not all(parts):
        raise denied(f"table {node['name']} is not understood; name it database.table")
    if len(parts) == 2:
        _open(*parts)
    elif parts[0] not in names:
        _open(current, parts[0])


def _open(database: str, table: str) -> None:
    if database == "system":
        if table not in rules.SYSTEM_TABLES:
            raise denied(f"table system.{table} is not open to readers")
    elif database == "":
        # The engine takes a name in `default` that is no table for that of a file.
        raise denied(f"table {table}: name it with its database, {rules.DATABASE}.{table}")
    elif database != rules.DATABASE:
        raise denied(f"database {database} is not open to readers; {rules.DATABASE} is")


def _identifier(_: Rules, node: Node) -> None:
    # With an alias a table's name can stand where a column's is expected: WITH system.users AS t … IN t.
    parts = node.get("name_parts") or [node["name"]]
    if (
        len(parts) > 1
        and parts[0].lower() in _CATALOGUES
        and (parts[0] != "system" or parts[1] not in rules.SYSTEM_TABLES)
    ):
        raise denied(f"{node['name']} is not open to readers")


def _parameter(_: Rules, node: Node) -> None:
    if node["param_type"].strip().lower() == "identifier":
        raise denied(
            f"parameter {node['name']}: a reader's query names its tables and columns itself, not by parameter"
        )


def _explain(limits: Rules, node: Node) -> None:
    if node["kind"] not in syntax.EXPLAINS:
        raise denied(f"{node['kind']} is nothing that a reader may use")
    if node.get("query", {}).get("type") != "SelectWithUnionQuery":
        raise denied(f"{node['kind']}: a reader may explain a SELECT only")
    _format(limits, node)


def _explain_settings(_: Rules, node: Node) -> None:
    for change in node.get("changes", []):
        if change["name"] not in syntax.EXPLAIN_SETTINGS:
            raise denied(f"EXPLAIN {change['name']} is not open to readers")


def _set(limits: Rules, node: Node) -> None:
    for change in node.get("changes", []):
        limits.setting(change["name"], change["value"].get("value"))


def _format(limits: Rules, node: Node) -> None:
    form = node.get("format_ast")
    if form is not None:
        limits.form(form["name"])


def _show_tables(limits: Rules, node: Node) -> None:
    where = node.get("from")
    # The names of system's tables are no secret, and a client's completion asks for them.
    if where is not None and where["name"] not in {rules.DATABASE, "system"}:
        raise denied(f"database {where['name']} is not open to readers; {rules.DATABASE} is")
    _format(limits, node)


_PLACES: Mapping[str, Callable[[Rules, Node], None]] = {
    "ExplainQuery.settings": _explain_settings,
    "TableExpression.table_function": _table_function,
}
_KINDS: Mapping[str, Callable[[Rules, Node], None]] = {
    "ColumnsApplyTransformer": _applied,
    "ExplainQuery": _explain,
    "Function": _function,
    "Identifier": _identifier,
    "QueryParameter": _parameter,
    "SelectWithUnionQuery": _format,
    "SetQuery": _set,
    "ShowColumnsQuery": _format,
    "ShowIndexesQuery": _format,
    "ShowTablesQuery": _show_tables,
}


def _within(value: str, bound: float) -> bool:
    return _BOUND.fullmatch(value) is not None and 0 < float(value) <= bound
