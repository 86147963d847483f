"""Who has which role: the links of the policy, and those that one request brings along.

Reachability is Casbin's: breadth first, at most nine hops. Nothing is kept about names that are
only asked about, so memory stays flat under any number of unknown subjects.
"""

from __future__ import annotations

import graphlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from extauthz.engine.reference import MAX_HOPS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

Links = dict[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class RoleGraph:
    """The rows of one role definition: per domain ("" without domains) the roles of each name."""

    arity: int
    domains: Mapping[str, Links]

    @classmethod
    def of(cls, arity: int, rows: Iterable[Sequence[str]]) -> RoleGraph:
        collected: dict[str, dict[str, dict[str, None]]] = {}
        for name, role, *domain in rows:
            names = collected.setdefault(domain[0] if domain else "", {})
            names.setdefault(name, {})[role] = None
        domains = {
            domain: {name: tuple(roles) for name, roles in names.items()}
            for domain, names in collected.items()
        }
        return cls(arity, domains)

    def cycle(self) -> tuple[str, ...]:
        """Names that are roles of each other in a circle, or nothing."""
        for links in self.domains.values():
            try:
                graphlib.TopologicalSorter(links).prepare()
            except graphlib.CycleError as error:
                # The sorter reads links as "depends on", and walks them backwards.
                return tuple(reversed(error.args[1]))
        return ()

    def too_deep(self) -> tuple[str, str] | None:
        """A name and a role of it that is more hops away than Casbin follows."""
        for links in self.domains.values():
            if len(links) > MAX_HOPS:
                for name in links:
                    beyond = _beyond(links, name)
                    if beyond:
                        return name, beyond
        return None


def _beyond(links: Links, name: str) -> str | None:
    seen = {name}
    frontier = [name]
    for _ in range(MAX_HOPS):
        frontier = [role for held in frontier for role in links.get(held, ()) if role not in seen]
        if not frontier:
            return None
        seen.update(frontier)
    return next((role for held in frontier for role in links.get(held, ()) if role not in seen), None)


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
                for role in self._roles(links, held):
                    if role not in reached:
                        reached[role] = held
                        following.append(role)
            frontier = following
        return reached

    def _roles(self, links: Links, name: str) -> tuple[str, ...]:
        own = links.get(name, ())
        return own + self.extra if name == self.subject else own
