"""The values of one request attribute, in classes that no atom tells apart, each with one value of it."""

from __future__ import annotations

import ipaddress
import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from extauthz.analysis.atom import Among, Atom, Equal, Match, Role
from extauthz.analysis.automaton import combinations
from extauthz.analysis.pattern import equal_segments, nfa_of
from extauthz.analysis.unanswerable import Unanswerable
from extauthz.engine import reference

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from extauthz.analysis.domain import Domain

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# A variable of a path pattern, in either notation.
_VARIABLE = re.compile(r":[^/]+|\{[^/{}]+\}")

_FUNCTIONS = reference.matching_functions()


@dataclass(frozen=True, slots=True)
class Class:
    """Values of which exactly the atoms in `holding` hold, and the simplest of them."""

    value: str
    holding: frozenset[Atom]


def classes(domain: Domain, atoms: Iterable[Atom]) -> tuple[Class, ...]:
    """All classes that have a value in the domain. Raises Unanswerable."""
    known = tuple(dict.fromkeys(atoms))
    if domain.name == "client_address" or any(_is_network(atom) for atom in known):
        found = _distinct(_addresses(known), known)
    elif domain.finite is not None:
        found = _distinct(domain.finite, known)
    elif any(isinstance(atom, Match) for atom in known):
        found = _of_patterns(domain, known)
    else:
        found = _distinct(_constants(domain, known), known)
    return tuple(found)


def holds(atom: Atom, value: str) -> bool:
    """Whether an atom holds for one value, by Casbin's own functions."""
    if isinstance(atom, Equal):
        return value == atom.value
    if isinstance(atom, Among):
        return value in atom.values
    if isinstance(atom, Match):
        return bool(_FUNCTIONS[atom.function](value, atom.pattern))
    raise TypeError(f"{atom} is about more than a value")


def constants(atoms: Iterable[Atom]) -> Iterator[str]:
    """The values that atoms name."""
    for atom in atoms:
        if isinstance(atom, Equal):
            yield atom.value
        elif isinstance(atom, Among):
            yield from sorted(atom.values)
        elif isinstance(atom, Role):
            yield atom.role


def _distinct(values: Iterable[str], atoms: tuple[Atom, ...]) -> Iterator[Class]:
    equal: dict[str, set[Atom]] = {}
    others = []
    for atom in atoms:
        if isinstance(atom, Match):
            others.append(atom)
        for value in constants([atom]):
            equal.setdefault(value, set()).add(atom)
    seen = set()
    for value in values:
        holding = frozenset(equal.get(value, ())) | {atom for atom in others if holds(atom, value)}
        if holding not in seen:
            seen.add(holding)
            yield Class(value, holding)


def _constants(domain: Domain, atoms: tuple[Atom, ...]) -> Iterator[str]:
    """The values that atoms name, and one that none names."""
    named = dict.fromkeys(constants(atoms))
    yield from (value for value in domain.preferred if value in named)
    yield from (value for value in named if domain.holds(value))
    samples = itertools.chain(domain.preferred, map(domain.sample, itertools.count()))
    yield next(value for value in samples if value not in named and domain.holds(value))


def _of_patterns(domain: Domain, atoms: tuple[Atom, ...]) -> Iterator[Class]:
    # Reserved texts are patterns that no value may match.
    parts = [_parts(atom) for atom in (*atoms, *domain.reserved)]
    every = [part for alternatives in parts for part in alternatives]
    nfas = [nfa_of(*part, domain.alphabet) for part in every]
    equal = {number: pairs for number, part in enumerate(every) if (pairs := equal_segments(*part))}
    examples = (text for text in _examples(domain, atoms) if domain.holds(text))
    found = combinations(nfas, domain, examples, equal)
    owners = [number for number, alternatives in enumerate(parts) for _ in alternatives]
    seen = set()
    for accepted, text in found.items():
        holding = {owners[number] for number in accepted}
        if any(number >= len(atoms) for number in holding):
            continue
        held = frozenset(atoms[number] for number in holding)
        if held in seen:
            continue
        seen.add(held)
        if not domain.holds(text):
            raise Unanswerable(f"the example {text!r} is no {domain.name}: please report this")
        yield Class(text, held)


def _examples(domain: Domain, atoms: tuple[Atom, ...]) -> Iterator[str]:
    """Texts as people would write them: /orders/1 for /orders/:id."""
    yield from domain.preferred
    for below in ("x", "x/y"):
        for atom in atoms:
            if isinstance(atom, Match):
                yield _VARIABLE.sub("1", atom.pattern.replace("/*", f"/{below}")).replace("*", "")


def _parts(atom: Atom) -> list[tuple[str, str]]:
    if isinstance(atom, Match):
        return [(atom.function, atom.pattern)]
    return [("==", value) for value in constants([atom])]


def _is_network(atom: Atom) -> bool:
    return isinstance(atom, Match) and atom.function == "ipMatch"


def _addresses(atoms: tuple[Atom, ...]) -> Iterator[str]:
    """The lowest address of each stretch between the borders of networks, of both versions."""
    borders: dict[int, set[int]] = {4: {0}, 6: {0}}
    for atom in atoms:
        if not isinstance(atom, Role):
            for network in _networks(atom):
                first, last = int(network.network_address), int(network.broadcast_address)
                borders[network.version] |= {first, last + 1}
    for number in sorted(border for border in borders[4] if border < 1 << 32):
        yield str(ipaddress.IPv4Address(number))
    for number in sorted(border for border in borders[6] if border < 1 << 128):
        yield str(ipaddress.IPv6Address(number))


def _networks(atom: Equal | Among | Match) -> Iterator[Network]:
    if isinstance(atom, Match) and atom.function != "ipMatch":
        raise Unanswerable(f"an address is held against {atom.pattern!r} by {atom.function}, not by ipMatch")
    texts = [atom.pattern] if isinstance(atom, Match) else list(constants([atom]))
    for text in texts:
        try:
            yield ipaddress.ip_network(text, strict=False)
        except ValueError:
            # Nothing that an address can be.
            continue
