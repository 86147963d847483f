"""Roles that rules are about, and that nobody has: such rules never decide."""

from __future__ import annotations

from typing import TYPE_CHECKING

from access.subject import AUTHENTICATED, EVERYONE, ROLE_PREFIX
from extauthz.engine.clause import clauses

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from extauthz.engine import Engine

# What says that a credential may bring any role.
ANY_ROLE = "*"


def memberless(engine: Engine, brought: Collection[str]) -> Iterator[tuple[int, str]]:
    """The first line about each role that nobody has, and what is wrong with it.

    `brought`: roles (role:NAME) that credentials may bring, or ANY_ROLE; then nothing is to be said.
    """
    graph = engine.graphs.get("g")
    if graph is None or ANY_ROLE in brought:
        return
    own = {EVERYONE, AUTHENTICATED, *brought}
    had = set(own)
    for domain, links in graph.domains.items():
        holders = {*own, *(name for name in links if not name.startswith(ROLE_PREFIX))}
        had.update(role for name in holders for role in graph.reach(name, domain))
    model = engine.model
    subject = model.request[model.subject]
    fields = {
        model.policy.index(clause.policy)
        for clause in clauses(model)
        if clause.function == "g" and clause.request == subject
    }
    for place, row in enumerate(engine.rules.fields):
        for role in (row[field] for field in fields):
            if role.startswith(ROLE_PREFIX) and role not in had:
                had.add(role)
                message = (
                    f"nobody has {role} by this file; a token may give it only where "
                    "an issuer's setting `roles` lists it, or a key has it"
                )
                yield engine.rules.where(place)[0], message
