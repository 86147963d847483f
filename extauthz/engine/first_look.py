"""The first look into a policy's index, written out for the compiled function: nearly all requests need no other.

The lines do what `Heads.collect` does, and look less often into mappings so large that each look waits for memory: not
for a text longer than all whole ones, nor for heads that end with a slash where the text has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from extauthz.engine.index import Heads

_FOUND = (
    "if child is not None:",
    "    if child.__class__ is tuple:",
    "        found.append(child)",
    "    elif child.__class__ is list:",
    "        found += child",
    "    else:",
    "        child.collect(context, found)",
)


def first_look(name: str, node: Heads, names: dict[str, Any]) -> Iterable[str]:
    """Lines that put what `node.collect(context, found)` finds into `found`. Adds to `names` what they name."""
    whole, heads = node.containers
    names |= {f"{name}_whole": whole.get, f"{name}_heads": heads.get}
    yield f"text = context[{node.at}]"
    if whole:
        yield f"child = {name}_whole(text) if len(text) <= {max(map(len, whole))} else None"
        yield from _FOUND
    for length, slashed in sorted(_lengths(heads).items()):
        look = f"{name}_heads(text[:{length}])"
        yield (
            f"child = {look} if text[{length - 1}:{length}] == '/' else None"
            if slashed
            else f"child = {look}"
        )
        yield from _FOUND


def indented(lines: Iterable[str]) -> Iterable[str]:
    """Lines as a block's."""
    return (f"    {line}" for line in lines)


def _lengths(heads: Mapping[str, object]) -> dict[int, bool]:
    """The lengths of heads, and whether all of that length end with a slash."""
    found: dict[int, bool] = {}
    for head in heads:
        length = len(head)
        if found.get(length, True):
            found[length] = head.endswith("/")
    return found
