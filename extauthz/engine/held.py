"""What a name is in a role graph, request after request: the names that g() holds for it.

Invariants:
- the answers are RequestRoles' (a request's roles are links of its subject, nine hops in all);
- what is kept is bounded; of names that the policy does not know, a few last roles of requests.
"""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING, Any

from extauthz.engine.reference import MAX_HOPS
from extauthz.engine.roles import RequestRoles
from extauthz.engine.shape import Deep

if TYPE_CHECKING:
    from collections.abc import Collection

    from extauthz.engine.roles import RoleGraph

    Names = Collection[str]
    # All that a name is by the policy (itself may be left out), and by the roles of a request.
    Held = tuple[Names, Names]

# From here on the rules are not looked up by each name, but by what else is asked.
WIDE = 64
# Up to here looking through a tuple is cheaper than making a set.
_FEW = 24
# Names in all sets that are kept; combinations of request roles that are kept.
_KEPT_NAMES = 400_000
_KEPT_ROLES = 256
_NONE: dict[str, tuple[str, ...]] = {}


class Holder:
    """Answers for one role definition: what a name is by the policy (itself may be left out), and by the
    request. Safe for threads.
    """

    def __init__(self, graph: RoleGraph, compared: frozenset[str]) -> None:
        """`compared`: all that a rule compares with a role; other names of a request change nothing."""
        self._graph = graph
        self._compared = compared
        self._domains = graph.domains
        self._plain = graph.domains.get("", _NONE)
        self._nested = _nested(graph)
        self._many: dict[tuple[str, str], frozenset[str]] = {}
        self._many_names = 0
        # By the roles of a request, or by its domain and them.
        self._roles: dict[tuple[Any, ...], Names] = {}
        self._lock = threading.Lock()

    @property
    def containers(self) -> tuple[dict[Any, Any], ...]:
        return self._nested, self._many, self._roles

    def held(self, name: str, roles: tuple[str, ...], domain: str = "") -> Held:
        """For the subject of the request, whose roles are `roles`."""
        links = self._domains.get(domain, _NONE) if domain else self._plain
        own: Names = links.get(name, ())
        if own.__class__ is Deep or len(own) > _FEW:
            own = self._walked(name, own, domain)
        if not roles:
            return own, ()
        brought = self._roles.get((domain, roles) if domain else roles)
        return own, self._brought(roles, domain) if brought is None else brought

    def held_by_other(self, name: str, subject: str, roles: tuple[str, ...], domain: str = "") -> Held:
        """For a name that need not be the subject: it has the request's roles where it has the subject."""
        own, _ = self.held(name, (), domain)
        if roles and (name == subject or subject in own):
            return RequestRoles(self._graph, subject, roles).reached(name, domain).keys(), ()
        return own, ()

    def _walked(self, name: str, direct: Names, domain: str) -> Names:
        """All that a name with these roles is, where that is more than they are."""
        many = self._many.get((name, domain)) if self._many else None
        if many is not None:
            return many
        if self._nested and not domain:
            nested = self._nested
            further = itertools.chain.from_iterable([nested[role] for role in direct if role in nested])
            reached = tuple(dict.fromkeys((*direct, *further)))
        else:
            reached = self._graph.reach(name, domain)
        return reached if len(reached) <= _FEW else self._keep(name, domain, frozenset(reached))

    def _keep(self, name: str, domain: str, names: frozenset[str]) -> frozenset[str]:
        with self._lock:
            while self._many and self._many_names + len(names) > _KEPT_NAMES:
                self._many_names -= len(self._many.pop(next(iter(self._many))))
            if (name, domain) not in self._many:
                self._many[name, domain] = names
                self._many_names += len(names)
        return names

    def _brought(self, roles: tuple[str, ...], domain: str) -> Names:
        compared, links = self._compared, self._domains.get(domain, _NONE)
        known = [role for role in roles if role in compared or role in links]
        reached = (self._graph.reach(role, domain, MAX_HOPS - 1) for role in known)
        names = tuple(dict.fromkeys(itertools.chain.from_iterable(reached)))
        found: Names = names if len(names) <= _FEW else frozenset(names)
        if not domain or domain in self._domains:
            if len(self._roles) >= _KEPT_ROLES:
                self._roles.clear()
            self._roles[(domain, roles) if domain else roles] = found
        return found


def names_of(name: str, own: Names, brought: Names) -> Names:
    """All that a name is, for looking it up; of many, what the policy says alone: they are not looked up."""
    return own if len(own) > WIDE else (name, *own, *brought)


def _nested(graph: RoleGraph) -> dict[str, tuple[str, ...]]:
    """All that each role is which has roles itself, found once for all requests. Without domains only.

    Nothing where some name has so many that this would be large.
    """
    links = graph.domains.get("", _NONE)
    if graph.arity > 2 or graph.shape.widest > WIDE:
        return {}
    roles = {role for roles in links.values() for role in roles}
    return {role: graph.reach(role, hops=MAX_HOPS - 1) for role in roles if role in links}
