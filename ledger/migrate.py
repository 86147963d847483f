"""The schema: plain .sql files, applied once each in the order of their names, recorded with checksums."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from clickhouse_connect.driver.client import Client

_FILE = re.compile(r"\d{4}_\w+\.sql")
# A statement ends with a line that ends in a semicolon: the files say so of themselves.
_STATEMENT_END = re.compile(r";[ \t]*(?:\n|\Z)")
_COMMENT = re.compile(r"^\s*--.*$", re.MULTILINE)


class MigrationError(Exception):
    """A database and this program that do not fit together. The message says what to do."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of ledger/schema."""

    name: str
    sql: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def statements(self) -> tuple[str, ...]:
        parts = (part.strip() for part in _STATEMENT_END.split(self.sql))
        return tuple(part for part in parts if _COMMENT.sub("", part).strip())


@dataclass(frozen=True, slots=True)
class Applied:
    """A migration that a database has seen."""

    name: str
    sha256: str
    at: datetime


@dataclass(frozen=True, slots=True)
class State:
    """A migration and what the database knows of it. changed: not the file that was applied;
    unknown: applied by a newer gateledger.
    """

    name: str
    state: Literal["applied", "pending", "changed", "unknown"]
    applied_at: datetime | None


def migrations() -> tuple[Migration, ...]:
    """The files that ship with this program, in order."""
    folder = resources.files("ledger") / "schema"
    found = sorted(file.name for file in folder.iterdir() if _FILE.fullmatch(file.name))
    return tuple(Migration(name, (folder / name).read_text(encoding="utf-8")) for name in found)


def states(ours: Sequence[Migration], applied: Mapping[str, Applied]) -> tuple[State, ...]:
    """Where each migration stands. Pure."""
    known = tuple(
        State(each.name, _state(each, applied.get(each.name)), _at(applied.get(each.name))) for each in ours
    )
    newer = sorted(set(applied) - {each.name for each in ours})
    return known + tuple(State(name, "unknown", applied[name].at) for name in newer)


def refuse(found: Sequence[State]) -> None:
    """Raise MigrationError where the database is not one that these files may go on with. Pure."""
    changed = ", ".join(each.name for each in found if each.state == "changed")
    if changed:
        raise MigrationError(
            f"{changed}: not the file that was applied to this database; an applied file never changes: "
            "restore it, and put the change into a new file"
        )
    unknown = ", ".join(each.name for each in found if each.state == "unknown")
    if unknown:
        raise MigrationError(
            f"this database was migrated by a newer gateledger ({unknown}); run that version or a later one"
        )


def status(client: Client) -> tuple[State, ...]:
    """Where the database of `client` stands. Raises clickhouse_connect's errors."""
    return states(migrations(), _applied(client))


def migrate(client: Client) -> list[str]:
    """Apply what is pending; gives the names. Several may run at once: every statement is IF NOT EXISTS.

    Raises MigrationError, and clickhouse_connect's errors.
    """
    found = status(client)
    refuse(found)
    pending = {each.name for each in found if each.state == "pending"}
    for each in migrations():
        if each.name in pending:
            _apply(client, each)
    return sorted(pending)


def _apply(client: Client, migration: Migration) -> None:
    for statement in migration.statements:
        client.command(statement)
    client.command(
        "INSERT INTO audit.schema_migrations (name, sha256) SELECT {name:String}, {sha256:String}",
        parameters={"name": migration.name, "sha256": migration.sha256},
        settings={"async_insert": 0},
    )


def _applied(client: Client) -> dict[str, Applied]:
    if not client.command("EXISTS TABLE audit.schema_migrations"):
        return {}
    rows = client.query(
        "SELECT name, argMin(sha256, applied_at), min(applied_at) FROM audit.schema_migrations GROUP BY name"
    ).result_rows
    return {name: Applied(name, sha256, at) for name, sha256, at in rows}


def _state(ours: Migration, applied: Applied | None) -> Literal["applied", "pending", "changed"]:
    if applied is None:
        return "pending"
    return "applied" if applied.sha256 == ours.sha256 else "changed"


def _at(applied: Applied | None) -> datetime | None:
    return applied.at if applied else None
