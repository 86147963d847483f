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
from chserver import syntax
from chserver.errors import ACCESS_DENIED, INTO_OUTFILE_NOT_ALLOWED, ClickHouseError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Node = Mapping[str, Any]

# `x IN name` reads a table of that name.
_IN = frozenset(
    f"{prefix}{word}{suffix}"
    for prefix in ("", "global")
    for word in ("in", "notin", "nullin", "notnullin")
    for suffix in ("", "ignoreset")
)
_CATALOGUES = frozenset({"information_schema", "system"})


@dataclass(frozen=True, slots=True)
class Rules:
    """How far a reader may go. `bounds` gives each setting of reader_rules.BOUNDED its greatest value."""

    bounds: Mapping[str, float]

    def check(self, tree: Node) -> None:
        """Raises ClickHouseError, which says what is not allowed."""
        if tree.get("type") not in syntax.STATEMENTS:
            raise denied(
                f"{tree.get('type', 'this')} is no statement for a reader; use SELECT, EXPLAIN, SHOW or DESCRIBE"
            )
        for place, node in _nodes("", tree):
            _known(node)
            if special := _PLACES.get(place) or _KINDS.get(node["type"]):
                special(self, node)

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
        if name and name not in rules.CURRENT_DATABASES:
            raise denied(f"database {name} is not open to readers; {rules.DATABASE} is")

    def form(self, name: str) -> None:
        """Whether a reader may ask for this format. Raises ClickHouseError."""
        if name not in rules.FORMATS:
            raise denied(f"format {name} is not open to readers")


def denied(what: str) -> ClickHouseError:
    """A refusal, in the words in which ClickHouse begins one."""
    return ClickHouseError(ACCESS_DENIED, f"auditor: Not enough privileges: {what}")


# Keys whose lists and objects are plain values, not nodes.
_PLAIN = frozenset({"changes", "list_of_modes", "name_parts", "value"})
# At least a millisecond: less might be rounded to 0, which is no bound.
_BOUND = re.compile(r"[0-9]{1,18}(\.[0-9]{1,3})?")


def _nodes(place: str, node: object) -> Iterator[tuple[str, Node]]:
    """Every node with the place where it stands: its parent's type and key."""
    if isinstance(node, list):
        for child in node:
            yield from _nodes(place, child)
    elif isinstance(node, dict) and isinstance(node.get("type"), str):
        yield place, node
        for key, value in node.items():
            if isinstance(value, dict | list) and key not in _PLAIN:
                yield from _nodes(f"{node['type']}.{key}", value)
    else:
        raise denied("a part of the statement is not understood")


def _known(node: Node) -> None:
    if "out_file" in node:
        raise ClickHouseError(INTO_OUTFILE_NOT_ALLOWED, "INTO OUTFILE is not allowed")
    known = syntax.NODES.get(node["type"])
    if known is None:
        raise denied(f"{node['type']} is nothing that a reader may use")
    for key in sorted(node.keys() - known):
        raise denied(f"{key} of {node['type']} is nothing that a reader may use")


def _function(limits: Rules, node: Node) -> None:
    name = node["name"]
    if not rules.function_allowed(name):
        raise denied(f"function {name} is not open to readers")
    arguments = node.get("arguments", {}).get("children", [])
    if name.lower() in _IN and len(arguments) == 2 and arguments[1].get("type") == "Identifier":
        _table(limits, arguments[1])


def _applied(_: Rules, node: Node) -> None:
    name = node.get("func_name")
    if name is not None and not rules.function_allowed(name):
        raise denied(f"function {name} is not open to readers")


def _table_function(_: Rules, node: Node) -> None:
    if node["name"].lower() not in rules.TABLE_FUNCTIONS:
        raise denied(f"table function {node['name']} is not open to readers")


def _table(_: Rules, node: Node) -> None:
    parts = node.get("name_parts") or [node["name"]]
    if len(parts) > 2 or not all(parts):
        raise denied(f"table {node['name']} is not understood; name it database.table")
    database, table = ("", parts[0]) if len(parts) == 1 else parts
    _known_table(database, table)


def _known_table(database: str, table: str) -> None:
    if not table:
        raise denied("a table without a name is not understood")
    if database == "system" and table not in rules.SYSTEM_TABLES:
        raise denied(f"table system.{table} is not open to readers")
    if database not in {"", "system", *rules.CURRENT_DATABASES}:
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
    if where is not None and where["name"] != "system":
        _known_table(where["name"], "*")
    _format(limits, node)


def _show_one(limits: Rules, node: Node) -> None:
    _known_table(node.get("database", ""), node["table"])
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
    "ShowColumnsQuery": _show_one,
    "ShowIndexesQuery": _show_one,
    "ShowTablesQuery": _show_tables,
    "TableIdentifier": _table,
}


def _within(value: str, bound: float) -> bool:
    return _BOUND.fullmatch(value) is not None and 0 < float(value) <= bound
