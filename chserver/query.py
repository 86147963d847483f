"""One statement, from text to answer: who may run it, under which settings, into which file.

The answer of a query is written by the engine into an unnamed file (mode 0600, gone with its last
reader): any format and any size at little memory, and an error is known before the first byte is sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from chserver import grants
from chserver.allowlist import no_functions, plain_names
from chserver.engine import NoTree
from chserver.errors import (
    INTO_OUTFILE_NOT_ALLOWED,
    NOT_IMPLEMENTED,
    READONLY,
    TOO_DEEP_AST,
    ClickHouseError,
    denied,
)
from chserver.reading import described

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import IO

    from chserver.allowlist import Rules
    from chserver.engine import Engine, Outcome, Session, Tree
    from chserver.request import Call
    from chserver.users import Role

# A key that the engine's tree has for every statement that gives rows.
_GIVES_ROWS = "is_outfile_append"
_SELECT = "SelectWithUnionQuery"
_ALWAYS = {"implicit_select": "0"}


@dataclass(frozen=True, slots=True)
class Query:
    """A statement of somebody. `data` is what an INSERT brought."""

    call: Call
    statement: str
    role: Role
    read_only: bool
    # Unique; a reader's running query is found by it.
    marker: str
    data: IO[bytes] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The format of the rows ("" for a statement that gives none), and what they cost."""

    form: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Reading:
    """What holds for a reader: what may be asked, and the settings that bound what it may cost."""

    rules: Rules
    bounds: Mapping[str, str]


def answer(engine: Engine, query: Query, reading: Reading, rows: IO[bytes]) -> Answer:
    """Run the statement, its rows into the file `rows`. Raises ClickHouseError."""
    with engine.session() as session:
        session.set(_ALWAYS)
        try:
            if query.role == "reader":
                return _read(engine, session, query, reading, rows)
            return _write(engine, session, query, rows)
        except RecursionError:
            raise ClickHouseError(
                TOO_DEEP_AST, "The statement is nested too deep; write it with fewer brackets in each other"
            ) from None


def _read(engine: Engine, session: Session, query: Query, reading: Reading, rows: IO[bytes]) -> Answer:
    rules = reading.rules
    rules.settings(query.call.settings)
    rules.database(query.call.database)
    rules.form(query.call.default_format)
    session.set(reading.bounds)
    current = query.call.database
    asked = described(engine, session, query.statement, rules, current)
    tree = {} if asked else _tree(session, query.statement)
    if not asked:
        rules.check(tree, current)
        no_functions(engine.functions(plain_names(tree)))
    form = (asked.form if asked else _form(tree)) or query.call.default_format
    statement = asked.statement if asked else session.written(_into(tree, rows))
    session.execute(f"SET ROLE {grants.READER}")
    session.set({**query.call.settings, **_current(query), "log_comment": query.marker, "readonly": "2"})
    outcome = session.execute(statement, form, query.call.params)
    rows.write(outcome.data)
    return Answer(form, outcome)


def _tree(session: Session, statement: str) -> Tree:
    try:
        return session.parse(statement)
    except NoTree:
        raise denied("this statement is nothing that a reader may use") from None


def _write(engine: Engine, session: Session, query: Query, rows: IO[bytes]) -> Answer:
    try:
        tree = session.parse(query.statement)
    except NoTree:
        tree = {}
    session.set({**query.call.settings, **_current(query), **({"readonly": "2"} if query.read_only else {})})
    if tree.get("type") == "InsertQuery":
        return _plain(session, query, _insert(session, query, tree), rows)
    if query.data is not None:
        raise ClickHouseError(NOT_IMPLEMENTED, "Only an INSERT may bring data in the body")
    if tree.get("type") == _SELECT:
        return _rows(session, query, tree, rows)
    with engine.merges.wanted():
        return _other(engine, session, query, tree, rows)


def _other(engine: Engine, session: Session, query: Query, tree: Tree, rows: IO[bytes]) -> Answer:
    if _GIVES_ROWS in tree:
        return _rows(session, query, tree, rows)
    try:
        return _plain(session, query, query.statement, rows)
    finally:
        engine.changed()


def _rows(session: Session, query: Query, tree: Tree, rows: IO[bytes]) -> Answer:
    if "out_file" in tree:
        raise ClickHouseError(INTO_OUTFILE_NOT_ALLOWED, "INTO OUTFILE is not allowed")
    form = _form(tree) or query.call.default_format
    outcome = session.execute(session.written(_into(tree, rows)), form, query.call.params)
    return Answer(form, outcome)


def _current(query: Query) -> dict[str, str]:
    return {"database": query.call.database} if query.call.database else {}


def _form(tree: Tree) -> str:
    return str(tree.get("format_ast", {}).get("name", ""))


def _plain(session: Session, query: Query, statement: str, rows: IO[bytes]) -> Answer:
    outcome = session.execute(statement, query.call.default_format, query.call.params)
    rows.write(outcome.data)
    # Clients tell by the format whether a statement can give rows at all.
    return Answer(query.call.default_format if outcome.data else "", outcome)


def _insert(session: Session, query: Query, tree: Tree) -> str:
    """The text of an INSERT that reads its data from their file. Raises ClickHouseError."""
    if query.read_only:
        raise ClickHouseError(
            READONLY,
            "Cannot execute query in readonly mode. For queries over HTTP, method GET implies readonly. "
            "You should use method POST for modifying queries",
        )
    if "infile" in tree:
        raise ClickHouseError(
            NOT_IMPLEMENTED, "FROM INFILE reads files of the server; send the data in the body"
        )
    if _reads_input(tree):
        # chDB would answer that all is well and store nothing.
        raise ClickHouseError(
            NOT_IMPLEMENTED, "input() is not supported: insert into a Null table and shape the rows in a view"
        )
    return query.statement if query.data is None else session.written(_from(tree, query.data))


def _reads_input(node: object) -> bool:
    if isinstance(node, list):
        return any(_reads_input(child) for child in node)
    if not isinstance(node, dict):
        return False
    if node.get("type") == "Function" and str(node.get("name")).lower() == "input":
        return True
    return any(_reads_input(child) for child in node.values())


def _into(tree: Tree, rows: IO[bytes]) -> Tree:
    # Append, for TRUNCATE would write beside the file and rename.
    return {**tree, "out_file": _file(rows), "is_outfile_append": True, "compression": _text("none")}


def _from(tree: Tree, data: IO[bytes]) -> Tree:
    return {**tree, "infile": _file(data), "compression": _text("none")}


def _file(file: IO[bytes]) -> Tree:
    return _text(f"/proc/self/fd/{file.fileno()}")


def _text(value: str) -> Tree:
    return {"type": "Literal", "value": {"field_type": "String", "value": value}}
