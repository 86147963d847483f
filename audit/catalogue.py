"""The named queries: audit/queries/*.sql, read into plain values.

A file begins with comment lines, then comes one SELECT. The first sentence describes the query; then follow, each
on a line of its own (a line that is indented further continues the one before):
    -- Question: what an auditor asks
    -- Control: which control asks it
    -- Param NAME: a value that must be given
    -- Param NAME = DEFAULT: one that may; "" is the empty text, $KEY the setting audit.KEY
    -- Param NAME = DEFAULT in A,B,C: one of these, or in 0..24: no less and no more; of a list, each element
    -- Note: what one must know to read the answer
    -- Example: a command line
A parameter stands in the SQL as {name:Type}; ClickHouse puts the value in, so that no value is ever SQL.
since, until and limit mean the same in every query and need no line.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

from audit.errors import CatalogueError

if TYPE_CHECKING:
    from collections.abc import Mapping

COMMON = ("since", "until", "limit")
RESERVED = ("format", "config", "home")
# Subcommands of `gateledger audit` that are not named queries.
COMMANDS = ("list", "sql", "gaps")

_NAME = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_FIELD = re.compile(r"(Question|Control|Note|Example): (.+)|Param (\w+)(?: = (\S+))?(?: in (\S+))?: (.+)")
# Strings, quoted names and comments first: what looks like a parameter in them is none.
_TOKEN = re.compile(
    r"""'(?:[^'\\]|\\.|'')*' | "(?:[^"\\]|\\.)*" | `(?:[^`\\]|\\.)*` | --[^\n]* | /\*.*?\*/"""
    r"""| \{\s*(?P<name>[A-Za-z_]\w*)\s*:\s*(?P<type>[^{}]+?)\s*\}""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One {name:Type} of a query. `default` is None when a value must be given; "$key" names a setting. `allowed` is as in the
    header: see audit/allowed.py.
    """

    name: str
    type: str
    description: str
    default: str | None
    allowed: str = ""


@dataclass(frozen=True, slots=True)
class Query:
    """One named query. `types` has every parameter of the SQL, `parameters` those that are the query's own."""

    name: str
    description: str
    questions: tuple[str, ...]
    controls: tuple[str, ...]
    notes: tuple[str, ...]
    examples: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    types: Mapping[str, str]
    sql: str


def load() -> dict[str, Query]:
    """All shipped queries by name, sorted. Raises CatalogueError."""
    paths = sorted(files("audit").joinpath("queries").iterdir(), key=lambda path: path.name)
    return {
        path.name.removesuffix(".sql"): query_from(
            path.name.removesuffix(".sql"), path.read_text(encoding="utf-8")
        )
        for path in paths
        if path.name.endswith(".sql")
    }


def near(name: str, names: Mapping[str, Query]) -> list[str]:
    """The names that somebody may have meant, likeliest first."""
    within = [known for known in names if name and name in known]
    return list(dict.fromkeys(difflib.get_close_matches(name, names, n=3, cutoff=0.5) + within))[:3]


def types_in(sql: str) -> dict[str, str]:
    """Name and type of every parameter, in order. Raises CatalogueError when one name has two types."""
    types: dict[str, str] = {}
    for token in _TOKEN.finditer(sql):
        name, type_ = token["name"], token["type"]
        if name and types.setdefault(name, type_) != type_:
            raise CatalogueError(f"parameter {name} is both {types[name]} and {type_}; give it one type")
    return types


def query_from(name: str, text: str) -> Query:
    """A query out of its file's text. Raises CatalogueError naming the file."""
    try:
        return _query(name, text)
    except CatalogueError as error:
        raise CatalogueError(f"{name}.sql: {error}") from error


def _query(name: str, text: str) -> Query:
    header, sql = _split(text)
    types = types_in(sql)
    fields: dict[str, list[str]] = {"Question": [], "Control": [], "Note": [], "Example": []}
    parameters = []
    for line in header[1:]:
        match = _FIELD.fullmatch(line)
        if match is None:
            raise CatalogueError(
                f"cannot read the header line {line!r}; audit/catalogue.py says how to write it"
            )
        if match[1]:
            fields[match[1]].append(match[2])
        else:
            parameters.append(_parameter(match, types))
    _check(name, header, types, parameters)
    return Query(
        name=name,
        description=header[0],
        questions=tuple(fields["Question"]),
        controls=tuple(fields["Control"]),
        notes=tuple(fields["Note"]),
        examples=tuple(fields["Example"]),
        parameters=tuple(parameters),
        types=types,
        sql=sql,
    )


def _split(text: str) -> tuple[list[str], str]:
    """Header lines, continuations joined, and the SQL after them."""
    header: list[str] = []
    lines = text.splitlines()
    body = next((number for number, line in enumerate(lines) if not line.startswith("--")), len(lines))
    for line in lines[:body]:
        content = line[2:].removeprefix(" ")
        if header and content.startswith(" "):
            header[-1] += " " + content.strip()
        elif content.strip():
            header.append(content.strip())
    return header, "\n".join(lines[body:]).strip()


def _parameter(match: re.Match[str], types: Mapping[str, str]) -> Parameter:
    name, default = match[3], match[4]
    if name not in types:
        raise CatalogueError(f"describes a parameter {name} that its SQL does not have")
    return Parameter(name, types[name], match[6], "" if default == '""' else default, match[5] or "")


def _check(name: str, header: list[str], types: Mapping[str, str], parameters: list[Parameter]) -> None:
    described = [parameter.name for parameter in parameters]
    undescribed = [other for other in types if other not in (*described, *COMMON)]
    taken = [other for other in types if other in RESERVED]
    if not _NAME.fullmatch(name) or name in COMMANDS:
        raise CatalogueError(
            f"{name!r} cannot name a query: lower case, words joined by -, none of {COMMANDS}"
        )
    if not header or not header[0].endswith("."):
        raise CatalogueError("must begin with a comment of one sentence that describes it")
    if undescribed:
        raise CatalogueError(f"has no Param line for {', '.join(undescribed)}")
    if taken or any(other in COMMON for other in described) or len(set(described)) != len(described):
        raise CatalogueError(
            f"{taken or described}: {', '.join((*COMMON, *RESERVED))} are reserved; a name comes once"
        )
