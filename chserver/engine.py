"""chDB, and the only module that imports it.

One engine a process and one process a data directory. Every query gets a session of its own, a
fresh connection that knows no one else's settings; opening one costs about a millisecond, and
sessions run at the same time, for chDB lets go of the interpreter's lock while it works.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chserver import grants
from chserver.errors import NOT_IMPLEMENTED, ClickHouseError, from_engine
from chserver.merges import Merges

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from pathlib import Path

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Characters to which chDB's connection string, or the engine's patterns of file names, give another meaning.
_UNUSABLE_IN_PATH = re.compile(r"[?&#%*{}]")
# Where an error begins to tell of the calls that turn a statement into a tree and back.
_OWN_CALL = re.compile(
    r"(?:In scope|while (?:executing|processing))[^\n]{0,200}?(?:parseQueryToJSON|formatQueryFromJSON)\(.*",
    re.DOTALL | re.IGNORECASE,
)

# The engine's allocator (jemalloc) keeps memory for a minute before it gives it back, large pieces too: an INSERT of
# 96 MiB needs some 500 MiB for half a second, and so does the next. Of its own accord it would keep them for five
# seconds, and large ones not at all. In huge pages, where the system has them: new memory comes in fewer pieces.
# Whoever starts the process may say otherwise.
_ALLOCATOR = "JE_MALLOC_CONF"
_KEEPS = "oversize_threshold:0,dirty_decay_ms:60000,muzzy_decay_ms:60000,thp:always"

Tree = dict[str, Any]


class NoTree(Exception):  # noqa: N818 - an answer, not a failure
    """A statement that the engine can run but has no tree for, such as SHOW CREATE."""


class EngineError(Exception):
    """A data directory that cannot be used. The message says which, why and what to do."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a statement gave and what it cost, as the engine counted it."""

    data: bytes
    result_rows: int
    read_rows: int
    read_bytes: int
    written_rows: int
    written_bytes: int
    elapsed_ns: int


class Session:
    """One connection: its settings end with it. For one thread at a time."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def execute(
        self, sql: str, form: str = "TabSeparated", params: Mapping[str, str] | None = None
    ) -> Outcome:
        """Run one statement, its result in the format `form`. Raises ClickHouseError."""
        try:
            result = self._connection.query(sql, form, params=dict(params or {}))
        except RuntimeError as error:
            raise from_engine(str(error)) from None
        return Outcome(
            data=bytes(result.bytes()),
            result_rows=result.rows_read(),
            read_rows=result.storage_rows_read(),
            read_bytes=result.storage_bytes_read(),
            written_rows=result.rows_written(),
            written_bytes=result.bytes_written(),
            elapsed_ns=int(result.elapsed() * 1e9),
        )

    def value(self, sql: str, /, **params: str) -> str:
        """The one value that `sql` gives, as text. `params` are plain text."""
        escaped = {name: _escaped(text) for name, text in params.items()}
        return self.execute(sql, "TSVRaw", escaped).data.decode().removesuffix("\n")

    def set(self, settings: Mapping[str, str]) -> None:
        """Set settings for the rest of this session. Raises ClickHouseError for an unknown or odd one."""
        if settings:
            self.execute(
                "SET " + ", ".join(f"{_name(key)} = {quoted(text)}" for key, text in settings.items())
            )

    def parse(self, sql: str) -> Tree:
        """The statement's tree. Raises ClickHouseError where it is none; NoTree where the engine has none."""
        try:
            tree: Tree = json.loads(self._own("SELECT parseQueryToJSON({text:String})", sql))
        except ClickHouseError as error:
            if "INSERT with inline data" in error.message:
                raise ClickHouseError(
                    NOT_IMPLEMENTED,
                    "INSERT … SELECT with data behind it is not supported: insert into a table",
                ) from None
            if "does not support JSON serialization" in error.message:
                raise NoTree from None
            raise
        return tree

    def written(self, tree: Tree) -> str:
        """The statement that a tree stands for."""
        # A tree is many times as long as its text, whose length has been looked at.
        sql = "SELECT formatQueryFromJSON({text:String}) SETTINGS max_query_size = 0"
        return self._own(sql, json.dumps(tree))

    def _own(self, sql: str, text: str) -> str:
        """The value of a call that nobody asked for. The engine tells of it in its errors; the caller should not see it."""
        try:
            return self.value(sql, text=text)
        except ClickHouseError as error:
            message = _OWN_CALL.sub("", error.message).rstrip(": ")
            raise ClickHouseError((error.code, error.name), message) from None

    def close(self) -> None:
        self._connection.close()


class Engine:
    """The engine on one data directory."""

    def __init__(self, data: Path) -> None:
        """Open or create the data. Raises EngineError when it is in use or cannot be used."""
        self._lock = _locked(data)
        self.temporary = data / "tmp"
        self.temporary.mkdir(mode=0o700, exist_ok=True)
        # chDB keeps the schemas that requests bring, and looks for files without a path, in the working directory.
        work = data / "work"
        work.mkdir(mode=0o700, exist_ok=True)
        os.chdir(work)
        self._address = f"{data}?config-file={_configuration(data)}"
        try:
            os.environ.setdefault(_ALLOCATOR, _KEEPS)
            # Loading half a gigabyte of engine is for the process that serves, not for --check.
            from chdb import _chdb  # noqa: PLC0415

            self._connect: Callable[[str], Any] = _chdb.connect  # type: ignore[attr-defined]
            # Held open: with its last connection the engine would stop.
            self._first = Session(self._connect(self._address))
            self.version = self._first.value("SELECT version()")
            self.timezone = self._first.value("SELECT timezone()")
            self._functions = _functions(self._first)
            self.merges = Merges(self.session)
        except RuntimeError as error:
            self._lock.close()
            raise EngineError(f"{data}: the engine cannot open it: {error}") from error

    @contextlib.contextmanager
    def session(self) -> Iterator[Session]:
        """A session with every right, until it drops them itself."""
        session = Session(self._connect(self._address))
        try:
            yield session
        finally:
            session.close()

    def functions(self, names: Collection[str]) -> list[str]:
        """Those of the names that functions have, in any case; users' own functions among them."""
        return [name for name in names if name.lower() in self._functions]

    def changed(self) -> None:
        """Take note that a statement ran which may have made a function."""
        with self.session() as session:
            self._functions = _functions(session)

    def close(self) -> None:
        """Stop the engine and let go of the data."""
        self._first.close()
        self._lock.close()


def _functions(session: Session) -> frozenset[str]:
    # Kept, for the engine takes ten milliseconds to list them.
    return frozenset(session.value("SELECT lower(name) FROM system.functions").split("\n"))


def quoted(text: str) -> str:
    """A string literal of ClickHouse's SQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _escaped(text: str) -> str:
    """Text as a query parameter carries it, which is as a field of TabSeparated."""
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


def _name(key: str) -> str:
    if not _NAME.fullmatch(key):
        raise from_engine(f"Code: 115. DB::Exception: Unknown setting {key!r}. (UNKNOWN_SETTING)")
    return key


def _locked(data: Path) -> Any:
    if _UNUSABLE_IN_PATH.search(str(data)):
        raise EngineError(
            f"{data}: chDB cannot work below a path with any of ?, &, #, %, *, {{ or }}; set chserver.data to another one"
        )
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (data / "chserver.lock").open("a+")
    except OSError as error:
        raise EngineError(f"{data}: cannot be used for data: {error.strerror}; set chserver.data") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.seek(0)
        owner = lock.read().strip() or "unknown"
        lock.close()
        raise EngineError(
            f"{data}: in use by another chserver (process {owner}); stop it, or set chserver.data to another directory"
        ) from error
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def _configuration(data: Path) -> Path:
    users, main = data / "users.xml", data / "config.xml"
    users.write_text(grants.USERS, encoding="utf-8")
    main.write_text(grants.server(users), encoding="utf-8")
    return main
