"""Frees a large policy piece by piece; all at once it would hold the interpreter for a tenth of a second."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from extauthz.engine.held import Holder
from extauthz.engine.index import Anchors, Heads, Networks, Values
from extauthz.engine.memory import drain
from extauthz.engine.patterns import Tests

if TYPE_CHECKING:
    from extauthz.engine.enforcer import Engine


def release(engine: Engine) -> None:
    """Empty an engine that nobody asks any more, and nobody will."""
    parts = list(engine.decide.__globals__.values()) if engine.decide is not None else []
    for part in parts:
        if isinstance(part, Values | Heads | Anchors | Networks):
            _release_tree(part)
        elif isinstance(part, Holder):
            drain(*part.containers)
        elif isinstance(part, Tests):
            drain(part)
    for graph in engine.graphs.values():
        drain(*graph.domains.values())
    drain(engine.rules.verdicts, engine.rules.fields)


def _release_tree(root: Any) -> None:
    left = [root]
    while left:
        for container in left.pop().containers:
            while container:
                child = container.popitem()[1]
                if not isinstance(child, tuple | list):
                    left.append(child)
