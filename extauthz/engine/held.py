"""What a name is in a role graph, request after request: the names that g() holds for it.

Invariants:
- the answers are RequestRoles' (a request's roles are links of its subject, nine hops in all);
- nothing is kept about names that the policy does not know, and what is kept is bounded.
"""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING, Any

from extauthz.engine.reference import MAX_HOPS
from extauthz.engine.roles import RequestRoles

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from extauthz.engine.roles import RoleGraph

    # What the name is by the policy; what by the request; and both in a row, for looking them up in an index.
    Held = tuple[Container[str], Container[str], Sequence[str]]

# From here on the rules are not looked up by each name, but by what else is asked.
WIDE = 64
# Up to here looking through a tuple is cheaper than making a set.
_FEW = 24
# Names in all sets that are kept; combinations of request roles that are kept.
_KEPT_NAMES = 400_000
_KEPT_ROLES = 1024
_NONE: dict[str, tuple[str, ...]] = {}


class Holder:
    """Answers for one role definition. Safe for threads."""

    def __init__(self, graph: RoleGraph, compared: frozenset[str]) -> None:
        """`compared`: all that a rule compares with a role; other names of a request change nothing."""
        self._graph = graph
        self._compared = compared
        self._domains = graph.domains
        self._plain = graph.domains.get("", {})
        self._few = _few(graph)
        self._many: dict[tuple[str, str], tuple[frozenset[str], tuple[str, ...]]] = {}
        self._many_names = 0
        self._roles: dict[tuple[str, tuple[str, ...]], tuple[Container[str], tuple[str, ...]]] = {}
        self._lock = threading.Lock()

    @property
    def containers(self) -> tuple[dict[Any, Any], ...]:
        return self._few, self._many, self._roles

    def held(self, name: str, roles: tuple[str, ...], domain: str = "") -> Held:
        """For the subject of the request, whose roles are `roles`."""
        container: Container[str]
        if domain:
            container, own = self._own(name, domain)
        else:
            container = own = self._few.get(name) or (name,)
            if len(own) == 1 and name in self._plain:
                container, own = self._own(name, "")
        if not roles:
            return container, (), own
        plain, compared = self._plain, self._compared
        if domain:
            plain = self._domains.get(domain, _NONE)
        known = tuple([role for role in roles if role in compared or role in plain])
        brought = self._roles.get((domain, known)) or self._brought(known, domain)
        return container, brought[0], own + brought[1] if len(own) <= WIDE else own

    def held_by_other(self, name: str, subject: str, roles: tuple[str, ...], domain: str = "") -> Held:
        """For a name that need not be the subject: it has the request's roles where it has the subject."""
        container, own = self._own(name, domain)
        if roles and subject in container:
            reached = RequestRoles(self._graph, subject, roles).reached(name, domain)
            return reached, (), tuple(reached)
        return container, (), own

    def _own(self, name: str, domain: str) -> tuple[Container[str], tuple[str, ...]]:
        many = self._many.get((name, domain)) if self._many else None
        if many:
            return many
        reached = self._graph.reach(name, domain)
        return (reached, reached) if len(reached) <= _FEW else self._keep(reached, domain)

    def _keep(self, reached: tuple[str, ...], domain: str) -> tuple[frozenset[str], tuple[str, ...]]:
        entry = frozenset(reached), reached
        with self._lock:
            while self._many and self._many_names + len(reached) > _KEPT_NAMES:
                oldest = next(iter(self._many))
                self._many_names -= len(self._many.pop(oldest)[1])
            if (reached[0], domain) not in self._many:
                self._many[reached[0], domain] = entry
                self._many_names += len(reached)
        return entry

    def _brought(self, roles: tuple[str, ...], domain: str) -> tuple[Container[str], tuple[str, ...]]:
        reached = (self._graph.reach(role, domain, MAX_HOPS - 1) for role in roles)
        names = tuple(dict.fromkeys(itertools.chain.from_iterable(reached)))
        found = names if len(names) <= _FEW else frozenset(names), names
        if len(self._roles) >= _KEPT_ROLES:
            self._roles.clear()
        if not domain or domain in self._domains:
            self._roles[domain, roles] = found
        return found


def _few(graph: RoleGraph) -> dict[str, tuple[str, ...]]:
    """All that each name is, where that is little: found once for all requests. Without domains only."""
    links = graph.domains.get("", {})
    if graph.shape.widest > WIDE:
        return {}
    names = links.keys()
    found = {}
    left = 4 * len(links) + _KEPT_NAMES
    for name, roles in links.items():
        reached = (name, *roles) if names.isdisjoint(roles) else graph.reach(name)
        found[name] = reached
        left -= len(reached)
        if left < 0:
            break
    return found
