"""What a reader asks, made safe: checked by the allow-list and written out again from what was checked.

DESCRIBE and SHOW CREATE have no tree of their own; what they name is read as `SELECT * FROM` it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from chserver.allowlist import no_functions, plain_names
from chserver.errors import denied
from chserver.statement import leading

if TYPE_CHECKING:
    from chserver.allowlist import Rules
    from chserver.engine import Engine, Session, Tree

_FROM = "SELECT * FROM "
# What a tree of `SELECT * FROM x` has, and no more.
_BARE = {"type", "select", "tables"}


@dataclass(frozen=True, slots=True)
class Described:
    """A statement without a tree, written out anew, and the format that it asks for."""

    statement: str
    form: str


def described(
    engine: Engine, session: Session, statement: str, rules: Rules, current: str
) -> Described | None:
    """The DESCRIBE or SHOW CREATE that this is, checked; None for any other statement. Raises ClickHouseError."""
    words, end = leading(statement.encode(), 4)
    prefix = _prefix(words)
    if prefix is None:
        return None
    begin = end[len(prefix) - 1]
    tree = session.parse(_FROM + statement.encode()[begin:].decode())
    rules.check(tree, current)
    no_functions(engine.functions(plain_names(tree)))
    form = tree.pop("format_ast", {}).get("name", "")
    table = _only_table(tree)
    if prefix[0] == "SHOW" and "database_and_table_name" not in table:
        raise denied("SHOW CREATE wants the name of a table")
    text = session.written(tree)
    if not text.startswith(_FROM):
        raise denied("what is to be described is not understood")
    verb = "SHOW CREATE TABLE" if prefix[0] == "SHOW" else "DESCRIBE TABLE"
    return Described(f"{verb} {text.removeprefix(_FROM)}", form)


def _prefix(words: list[str]) -> list[str] | None:
    """The words before the name."""
    if words[:1] in (["DESCRIBE"], ["DESC"]):
        return words[: 2 if words[1:2] == ["TABLE"] else 1]
    if words[:2] == ["SHOW", "CREATE"]:
        return words[: 3 if words[2:3] in (["TABLE"], ["VIEW"]) else 2]
    return None


def _only_table(tree: Tree) -> Tree:
    """The one table expression of `SELECT * FROM x`."""
    selects = tree.get("list_of_selects", {}).get("children", [])
    elements = selects[0].get("tables", {}).get("children", []) if len(selects) == 1 else []
    if len(elements) != 1 or selects[0].keys() != _BARE or elements[0].keys() != {"type", "table_expression"}:
        raise denied("DESCRIBE and SHOW CREATE take one table or one subquery")
    if "settings_ast" in tree:
        raise denied("DESCRIBE and SHOW CREATE take no settings")
    table: Tree = elements[0]["table_expression"]
    return table
