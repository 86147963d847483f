"""Who has which role: the links of the policy, and those that one request brings along.

Reachability is Casbin's: breadth first, at most nine hops. Nothing is kept about names that are
only asked about, so memory stays flat under any number of unknown subjects.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from extauthz.engine import reference
from extauthz.engine.reference import MAX_HOPS
from extauthz.engine.shape import Deep, mark_deep, shape_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from extauthz.engine.shape import Links, Shape


# Up to here a longer tuple is cheaper than a list on the side.
_FEW = 8


@dataclass(frozen=True)
class RoleGraph:
    """The rows of one role definition: per domain ("" without domains) the roles of each name."""

    arity: int
    domains: Mapping[str, Links]
    # By domain, name and role: from when and until when a link holds. None: all always do.
    times: Mapping[tuple[str, str, str], tuple[str, str]] | None = None

    @classmethod
    def of(cls, arity: int, rows: Iterable[Sequence[str]], *, timed: bool = False) -> RoleGraph:
        """The graph of these rows: name, role, and with an arity of 3 a domain; and two times where `timed`."""
        if not timed:
            return cls(arity, _domains(arity, rows))
        rows = tuple(rows)
        times = {((*row[2:arity], "")[0], row[0], row[1]): (row[arity], row[arity + 1]) for row in rows}
        return cls(arity, _domains(arity, (row[:arity] for row in rows)), times)

    def holds(self, domain: str, name: str, role: str) -> bool:
        """Whether a link holds now, as Casbin's timeMatch tells."""
        times = self.times.get((domain, name, role)) if self.times else None
        return times is None or reference.matching_functions()["timeMatch"](*times) is True

    @property
    def size(self) -> int:
        """How many different links there are."""
        return sum(sum(map(len, links.values())) for links in self.domains.values())

    @functools.cached_property
    def shape(self) -> Shape:
        """Circles, depth and width."""
        return shape_of(self.domains)

    def reach(self, name: str, domain: str = "", hops: int = MAX_HOPS) -> tuple[str, ...]:
        """All that `name` is in `domain`, itself first, the nearest before the farther."""
        links = self.domains.get(domain if self.arity > 2 else "")
        roles = links.get(name) if links else None
        if not links or not roles:
            return (name,)
        if roles.__class__ is not Deep:
            return (name, *roles)
        reached = dict.fromkeys((name,))
        frontier = [name]
        for _ in range(hops):
            found = dict.fromkeys(role for held in frontier for role in links.get(held, ()))
            frontier = [role for role in found if role not in reached]
            if not frontier:
                break
            reached.update(dict.fromkeys(frontier))
        return tuple(reached)


def _domains(arity: int, rows: Iterable[Sequence[str]]) -> dict[str, Links]:
    if arity == 2:
        domains = {"": _links(rows)}
    else:
        by_domain: dict[str, list[Sequence[str]]] = {}
        for row in rows:
            by_domain.setdefault(row[2], []).append(row[:2])
        domains = {domain: _links(pairs) for domain, pairs in by_domain.items()}
    for links in domains.values():
        mark_deep(links)
    return domains


def _links(pairs: Iterable[Sequence[str]]) -> Links:
    """The roles of each name, each role once."""
    links: Links = {}
    several: dict[str, list[str]] = {}
    known = links.get
    for name, role in pairs:
        roles = known(name)
        if roles is None:
            links[name] = (role,)
        elif len(roles) < _FEW:
            if role not in roles:
                links[name] = (*roles, role)
        else:
            several.setdefault(name, []).append(role)
    for name, more in several.items():
        links[name] = tuple(dict.fromkeys((*links[name], *more)))
    return links


@dataclass(slots=True)
class RequestRoles:
    """One request's view of a role graph: the policy's links and the request's own, for `subject`.

    The request's roles hold in every domain. Lives as long as the request.
    """

    graph: RoleGraph
    subject: str
    extra: tuple[str, ...] = ()
    _reached: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)

    def function(self) -> Callable[..., bool]:
        """g(name, role[, domain]) for the matcher."""

        def g(*arguments: object) -> bool:
            name, role = str(arguments[0]), str(arguments[1])
            return role in self.reached(name, str(arguments[2]) if len(arguments) > 2 else "")

        return g

    def reached(self, name: str, domain: str = "") -> Mapping[str, str]:
        """All that `name` is in `domain`, itself included: each with the one through which it was reached."""
        key = (name, domain if self.graph.arity > 2 else "")
        known = self._reached.get(key)
        if known is None:
            known = self._reached[key] = self._walk(*key)
        return known

    def path(self, name: str, role: str, domain: str = "") -> tuple[str, ...]:
        """How `name` comes to `role`: (alice, role:support, role:staff); empty when it does not."""
        reached = self.reached(name, domain)
        if role not in reached:
            return ()
        steps = [role]
        while steps[-1] != name:
            steps.append(reached[steps[-1]])
        return tuple(reversed(steps))

    def _walk(self, name: str, domain: str) -> dict[str, str]:
        links = self.graph.domains.get(domain, {})
        reached = {name: name}
        frontier = [name]
        for _ in range(MAX_HOPS):
            following = []
            for held in frontier:
                for role in self._roles(links, held, domain):
                    if role not in reached:
                        reached[role] = held
                        following.append(role)
            frontier = following
        return reached

    def _roles(self, links: Links, name: str, domain: str) -> tuple[str, ...]:
        own = links.get(name, ())
        if self.graph.times:
            own = tuple(role for role in own if self.graph.holds(domain, name, role))
        return own + self.extra if name == self.subject else own
