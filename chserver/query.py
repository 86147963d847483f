"""One statement, from text to answer: who may run it, under which settings, into which file.

The answer of a query is written by the engine into an unnamed file (mode 0600, gone with its last
reader): any format and any size at little memory, and an error is known before the first byte is sent.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chserver import grants
from chserver.errors import (
    INTO_OUTFILE_NOT_ALLOWED,
    NOT_IMPLEMENTED,
    READONLY,
    ClickHouseError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import IO

    from chserver.engine import Engine, Outcome, Parsed, Session
    from chserver.request import Call
    from chserver.users import Role

# A key that the engine's tree has for every statement that gives rows.
_GIVES_ROWS = "is_outfile_append"
_ALWAYS = {"implicit_select": "0"}


@dataclass(frozen=True, slots=True)
class Query:
    """A statement of somebody. `data` is what an INSERT brought."""

    call: Call
    statement: str
    role: Role
    read_only: bool
    data: IO[bytes] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The rows as a file, positioned at its start, and what they cost."""

    rows: IO[bytes]
    form: str
    outcome: Outcome


def answer(engine: Engine, query: Query, limits: Mapping[str, str]) -> Answer:
    """Run the statement. `limits` hold for a reader. Raises ClickHouseError."""
    with engine.session() as session:
        session.set(_ALWAYS)
        if query.role == "reader":
            return _read(engine, session, query, limits)
        return _write(engine, session, query)


def _read(engine: Engine, session: Session, query: Query, limits: Mapping[str, str]) -> Answer:
    parsed = _parsed(session, query.statement)
    session.execute(f"SET ROLE {grants.READER}")
    session.set(limits)
    _prepare(session, query)
    session.set({"readonly": "2"})
    if parsed is None or _GIVES_ROWS not in parsed.tree:
        return _plain(engine.temporary, session, query, query.statement)
    return _rows(engine.temporary, session, query, parsed)


def _write(engine: Engine, session: Session, query: Query) -> Answer:
    parsed = _parsed(session, query.statement)
    _prepare(session, query)
    if query.read_only:
        session.set({"readonly": "2"})
    if parsed is not None and parsed.tree.get("type") == "InsertQuery":
        return _insert(engine.temporary, session, query, parsed.tree)
    if query.data is not None:
        raise ClickHouseError(NOT_IMPLEMENTED, "Only an INSERT may bring data in the body")
    if parsed is None or _GIVES_ROWS not in parsed.tree:
        return _plain(engine.temporary, session, query, query.statement)
    return _rows(engine.temporary, session, query, parsed)


def _parsed(session: Session, statement: str) -> Parsed | None:
    """None for statements that the engine can run but has no tree for."""
    try:
        return session.parse(statement)
    except ClickHouseError as error:
        if error.name == "BAD_ARGUMENTS" and "parseQueryToJSON" in error.message:
            return None
        raise


def _prepare(session: Session, query: Query) -> None:
    session.set(query.call.settings)
    if query.call.database:
        name = query.call.database.replace("\\", "\\\\").replace("`", "\\`")
        session.execute(f"USE `{name}`")


def _plain(temporary: Path, session: Session, query: Query, statement: str) -> Answer:
    outcome = session.execute(statement, query.call.default_format, query.call.params)
    rows = tempfile.SpooledTemporaryFile(max_size=1 << 20, dir=temporary)
    rows.write(outcome.data)
    rows.seek(0)
    return Answer(rows, query.call.default_format, outcome)


def _rows(temporary: Path, session: Session, query: Query, parsed: Parsed) -> Answer:
    tree = parsed.tree
    if "out_file" in tree:
        raise ClickHouseError(INTO_OUTFILE_NOT_ALLOWED, "INTO OUTFILE is not allowed")
    form = tree.get("format_ast", {}).get("name") or query.call.default_format
    rows = tempfile.TemporaryFile(dir=temporary)
    try:
        outcome = session.execute(session.written(_into(tree, rows)), form, query.call.params)
    except BaseException:
        rows.close()
        raise
    rows.seek(0)
    return Answer(rows, form, outcome)


def _insert(temporary: Path, session: Session, query: Query, tree: dict[str, Any]) -> Answer:
    if query.read_only:
        raise ClickHouseError(
            READONLY,
            "Cannot execute query in readonly mode. For queries over HTTP, method GET implies readonly. "
            "You should use method POST for modifying queries",
        )
    if "infile" in tree:
        raise ClickHouseError(NOT_IMPLEMENTED, "FROM INFILE reads files of the server; send the data in the body")
    if query.data is None:
        return _plain(temporary, session, query, query.statement)
    return _plain(temporary, session, query, session.written(_from(tree, query.data)))


def _into(tree: dict[str, Any], rows: IO[bytes]) -> dict[str, Any]:
    # Append, for TRUNCATE would write beside the file and rename.
    return {**tree, "out_file": _file(rows), "is_outfile_append": True, "compression": _text("none")}


def _from(tree: dict[str, Any], data: IO[bytes]) -> dict[str, Any]:
    return {**tree, "infile": _file(data), "compression": _text("none")}


def _file(file: IO[bytes]) -> dict[str, Any]:
    return _text(f"/proc/self/fd/{file.fileno()}")


def _text(value: str) -> dict[str, Any]:
    return {"type": "Literal", "value": {"field_type": "String", "value": value}}
