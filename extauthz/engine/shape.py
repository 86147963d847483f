"""How a role graph is built: circles in it, and how deep and how wide it is. Linear in its links."""

from __future__ import annotations

import graphlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from extauthz.engine.reference import MAX_HOPS

if TYPE_CHECKING:
    from collections.abc import Mapping

Links = dict[str, tuple[str, ...]]

# What a search for roles that are too deep may cost, in links; beyond that the answer is "none found".
_BUDGET = 3_000_000


class Deep(tuple[str, ...]):
    """The roles of a name, where one of them has roles itself; those of most names have none."""

    __slots__ = ()


def mark_deep(links: Links) -> None:
    """Tell the names whose roles have roles from the others, once for all walks."""
    names = links.keys()
    for name, roles in links.items():
        if not names.isdisjoint(roles):
            links[name] = Deep(roles)


@dataclass(frozen=True, slots=True)
class Shape:
    """`cycle`: names that are roles of each other in a circle, or nothing. `too_deep`: a name, and a role of it
    that is farther away than Casbin follows. `widest`: no name has more roles, direct or not (an upper bound).
    """

    cycle: tuple[str, ...] = ()
    too_deep: tuple[str, str] | None = None
    widest: int = 0


def shape_of(domains: Mapping[str, Links]) -> Shape:
    """The shape of a graph, over all its domains."""
    shapes = [_shape(links) for links in domains.values()]
    return Shape(
        next((shape.cycle for shape in shapes if shape.cycle), ()),
        next((shape.too_deep for shape in shapes if shape.too_deep), None),
        max((shape.widest for shape in shapes), default=0),
    )


def _shape(links: Links) -> Shape:
    measured = _measured(links)
    if measured is None:
        return Shape(_cycle(links), _too_deep(links), sum(map(len, links.values())))
    depth, width = measured
    return Shape(too_deep=_too_deep(links) if depth > MAX_HOPS else None, widest=width)


def _measured(links: Links) -> tuple[int, int] | None:
    """The longest way, and the most roles that a name has (counted once a way); None where there is a circle."""
    deep = [name for name, roles in links.items() if roles.__class__ is Deep]
    sizes: dict[str, tuple[int, int]] = {}
    for name in deep:
        if name not in sizes and not _settle(name, links, sizes):
            return None
    return (
        max((size[0] for size in sizes.values()), default=1),
        max(max(map(len, links.values()), default=0), max((size[1] for size in sizes.values()), default=0)),
    )


def _settle(name: str, links: Links, sizes: dict[str, tuple[int, int]]) -> bool:
    """Enter the sizes of a name and of all its roles; False on a circle."""
    path = {name: iter(links[name])}
    while path:
        current, roles = next(reversed(path.items()))
        for role in roles:
            if role in path:
                return False
            if role in links and role not in sizes:
                path[role] = iter(links[role])
                break
        else:
            below = [sizes.get(role, (0, 0)) for role in links[current]]
            sizes[current] = 1 + max(size[0] for size in below), len(below) + sum(size[1] for size in below)
            del path[current]
    return True


def _cycle(links: Links) -> tuple[str, ...]:
    try:
        graphlib.TopologicalSorter(links).prepare()
    except graphlib.CycleError as error:
        # The sorter reads links as "depends on", and walks them backwards.
        return tuple(reversed(error.args[1]))
    return ()


def _too_deep(links: Links) -> tuple[str, str] | None:
    left = _BUDGET
    for name in links:
        beyond, cost = _beyond(links, name)
        left -= cost
        if beyond:
            return name, beyond
        if left < 0:
            break
    return None


def _beyond(links: Links, name: str) -> tuple[str | None, int]:
    seen = {name: None}
    frontier = [name]
    for _ in range(MAX_HOPS):
        frontier = list(
            dict.fromkeys(role for held in frontier for role in links.get(held, ()) if role not in seen)
        )
        if not frontier:
            return None, len(seen)
        seen.update(dict.fromkeys(frontier))
    beyond = (role for held in frontier for role in links.get(held, ()) if role not in seen)
    return next(beyond, None), len(seen)
