"""Strongly connected parts of a graph: nodes that lead to each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping, Sequence

N = TypeVar("N", bound="Hashable")


def components(graph: Mapping[N, Sequence[N]]) -> Iterator[set[N]]:
    """The parts, each node in one (Tarjan's algorithm, without recursion). Every target is a node of the graph."""
    number: dict[N, int] = {}
    low: dict[N, int] = {}
    stack: dict[N, None] = {}
    for root in graph:
        if root in number:
            continue
        path = [(root, iter(graph[root]))]
        number[root] = low[root] = len(number)
        stack[root] = None
        while path:
            node, targets = path[-1]
            target = next(targets, None)
            if target is None:
                path.pop()
                if path:
                    low[path[-1][0]] = min(low[path[-1][0]], low[node])
                if low[node] == number[node]:
                    yield _popped(stack, node)
            elif target not in number:
                number[target] = low[target] = len(number)
                stack[target] = None
                path.append((target, iter(graph[target])))
            elif target in stack:
                low[node] = min(low[node], number[target])


def _popped(stack: dict[N, None], node: N) -> set[N]:
    found = set()
    while True:
        last, _ = stack.popitem()
        found.add(last)
        if last == node:
            return found
