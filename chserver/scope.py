"""Where the names that WITH gives to queries hold. Pure.

As narrow as the engine takes them, or narrower: a name that the engine does not take for such a query
is that of a table, and in `default` perhaps that of a file. So an element of WITH sees those before it
and not itself, a name may not be given again below where it holds, and only plain words are names.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from chserver.errors import denied

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Node = Mapping[str, Any]
    Names = frozenset[str]

# Keys whose lists and objects are plain values, not nodes.
_PLAIN = frozenset({"changes", "list_of_modes", "name_parts", "value"})
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NONE: Names = frozenset()


def children(node: Node) -> Iterator[tuple[str, Node]]:
    """The nodes right below this one, each with the key that holds it. Raises ClickHouseError."""
    for key, value in node.items():
        if isinstance(value, dict | list) and key not in _PLAIN:
            for child in value if isinstance(value, list) else [value]:
                if not isinstance(child, dict) or not isinstance(child.get("type"), str):
                    raise denied("a part of the statement is not understood")
                yield key, child


def scoped(node: Node, names: Names = _NONE) -> Iterator[tuple[Node, Names]]:
    """Every node with the names that hold there. Raises ClickHouseError for one that must not be given."""
    yield node, names
    if node["type"] == "SelectWithUnionQuery":
        yield from _union(node, names, _NONE)
    elif node["type"] == "SelectQuery":
        yield from _select(node, names)
    else:
        # The engine reads view()'s query by itself.
        alone = node["type"] == "Function" and str(node.get("name")).lower() == "view"
        for _, child in children(node):
            yield from scoped(child, _NONE if alone else names)


def _union(node: Node, names: Names, itself: Names) -> Iterator[tuple[Node, Names]]:
    """What the first SELECT names holds in those after it, and so does what recurs."""
    selects = [child for key, child in children(node) if key == "list_of_selects"]
    queries = [query for each in selects for _, query in children(each)]
    first = _given(queries[0]) if queries else _NONE
    for key, child in children(node):
        if key != "list_of_selects":
            yield from scoped(child, names)
    for number, query in enumerate(queries):
        yield from scoped(query, names | ((first | itself) - _given(query)) if number else names)


def _select(node: Node, names: Names) -> Iterator[tuple[Node, Names]]:
    for _, element in children(node.get("with", {})):
        if element["type"] == "WithElement":
            yield from _element(element, names, recursive=bool(node.get("recursive_with")))
            names |= {element["name"]}
        else:
            yield from scoped(element, names)
    for key, child in children(node):
        if key != "with":
            yield from scoped(child, names)


def _element(node: Node, names: Names, *, recursive: bool) -> Iterator[tuple[Node, Names]]:
    name = node["name"]
    if not _WORD.fullmatch(name):
        raise denied(f"WITH {name}: give it a name of letters, digits and _")
    if name in names:
        raise denied(f"WITH {name}: the name is taken already, give it another one")
    itself = frozenset({name}) if recursive else _NONE
    yield node, names
    for _, child in children(node):
        for _, query in children(child):
            if query["type"] == "SelectWithUnionQuery":
                yield query, names
                yield from _union(query, names, itself)
            else:
                yield from scoped(query, names)


def _given(query: Node) -> Names:
    """The names that a SELECT's own WITH gives."""
    if query["type"] != "SelectQuery":
        return _NONE
    return frozenset(
        element["name"] for _, element in children(query.get("with", {})) if element["type"] == "WithElement"
    )
