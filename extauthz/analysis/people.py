"""Who can ask: the subjects that policies tell apart, and the roles that a token may bring.

Sets of subjects, and sets of roles, are whole numbers: bit n is number n. A subject is
- one that a policy names, and that a credential can name;
- `anonymous`, where requests come over HTTP;
- for each way in which patterns on subjects can match, one that no policy names.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from access import ANONYMOUS, AuthMethod, Subject
from access.subject import ANONYMOUS_NAME, AUTHENTICATED, EVERYONE, ROLE_PREFIX
from extauthz.analysis.atom import Atom, Equal, Match, Role
from extauthz.analysis.classes import classes, constants, holds
from extauthz.analysis.domain import domain_of
from extauthz.analysis.unanswerable import Unanswerable
from extauthz.engine.roles import RequestRoles

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from extauthz.analysis.atom import Box
    from extauthz.analysis.domain import Domain
    from extauthz.engine import Engine

# Subjects that a policy may name.
MAX_SUBJECTS = 200_000
# What a token's role can be called (identity._ROLE).
_ROLE = re.compile(ROLE_PREFIX + r"[A-Za-z0-9_.:/@-]{1,128}")
# No subject has this name, and no policy a row about it.
_NOBODY = "\0"


@dataclass(frozen=True, slots=True)
class People:
    """All subjects and token roles that matter. `strangers`: those that stand for unnamed ones."""

    names: tuple[str, ...]
    strangers: int
    roles: tuple[str, ...]
    # Whether requests carry the roles that everyone has, and tokens bring roles.
    http: bool
    # The patterns that a stranger's name is matched by.
    patterns: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def everyone(self) -> int:
        return (1 << len(self.names)) - 1

    @property
    def verified(self) -> int:
        """Those who have a token, which may bring roles."""
        if not self.http:
            return 0
        return self.everyone & ~(1 << self.names.index(ANONYMOUS_NAME))

    def implied(self, name: str) -> tuple[str, ...]:
        return implied_roles(name) if self.http else ()

    def named(self, subjects: int) -> list[str]:
        return [name for at, name in enumerate(self.names) if subjects >> at & 1]

    def brought(self, roles: int) -> list[str]:
        return [role for at, role in enumerate(self.roles) if roles >> at & 1]


def implied_roles(name: str) -> tuple[str, ...]:
    """The roles that a subject's every request carries."""
    subject = ANONYMOUS if name == ANONYMOUS_NAME else Subject(name, (), AuthMethod.JWT)
    return subject.request_roles


def people_of(engines: Sequence[Engine], boxes: Iterable[Box], domain: Domain, *, http: bool) -> People:
    """The people that engines with these boxes tell apart. Raises Unanswerable."""
    subject = engines[0].model.subject
    atoms = {literal.atom: None for box in boxes for literal in box.about(subject)}
    if http:
        _refuse_lost_roles(boxes)
    named = dict.fromkeys([*_linked(engines), *constants(atoms)])
    known = [name for name in named if domain.holds(name)]
    if len(known) > MAX_SUBJECTS:
        raise Unanswerable(f"more than {MAX_SUBJECTS:,} subjects; ask about a part of the policy")
    strangers, patterns = _strangers(atoms, known, domain, subject)
    names = (*known, *([ANONYMOUS_NAME] if http else []), *strangers)
    roles = tuple(
        name for name in named if http and _ROLE.fullmatch(name) and name not in {EVERYONE, AUTHENTICATED}
    )
    unnamed = ((1 << len(names)) - 1) & ~((1 << (len(names) - len(strangers))) - 1)
    return People(names, unnamed, roles, http, patterns)


def _linked(engines: Sequence[Engine]) -> Iterator[str]:
    """The names in the links of g, subjects first as far as the file has them so."""
    for engine in engines:
        graph = engine.graphs.get("g")
        for links in graph.domains.values() if graph else ():
            for name, roles in links.items():
                yield name
                yield from roles


def _strangers(
    atoms: Iterable[Atom], known: Sequence[str], domain: Domain, subject: int
) -> tuple[list[str], dict[str, tuple[str, ...]]]:
    patterns = [atom for atom in atoms if isinstance(atom, Match)]
    if not patterns:
        taken = set(known)
        number = 0
        while domain.sample(number) in taken or not domain.holds(domain.sample(number)):
            number += 1
        return [domain.sample(number)], {}
    equals = {Equal(subject, name) for name in known}
    found = [one for one in classes(domain, [*patterns, *equals]) if not equals & one.holding]
    matched = {
        one.value: tuple(sorted(atom.pattern for atom in one.holding if isinstance(atom, Match)))
        for one in found
    }
    return list(matched), matched


def stranger(engine: Engine, attributes: Sequence[str]) -> str:
    """A subject that no policy names, to stand for one that only its token's roles are known of."""
    subject = engine.model.subject
    domain = domain_of(attributes[subject] if attributes else "", subject)
    named = names_of(engine)
    return next(name for name in map(domain.sample, itertools.count()) if name not in named)


def names_of(engine: Engine) -> set[str]:
    """Every text that can be a subject or role of a policy."""
    return {text for rule in engine.rules for text in rule.row.fields} | set(_linked([engine]))


def _refuse_lost_roles(boxes: Iterable[Box]) -> None:
    for box in boxes:
        for literal in box.literals:
            if isinstance(literal.atom, Role) and not literal.positive:
                raise Unanswerable(
                    "the matcher asks that a subject has not a role, which a token may bring in any combination"
                )


class Held:
    """Who has which role by one engine's links."""

    def __init__(self, engine: Engine, people: People) -> None:
        self._engine = engine
        self._people = people
        self._by_domain: dict[tuple[str, str], tuple[dict[str, int], dict[str, int]]] = {}
        self._masks: dict[tuple[Atom, str], int] = {}

    def subjects(self, atom: Atom, domain: str = "") -> int:
        """The subjects for whom an atom holds by themselves. `domain`: the request's, where the atom asks it."""
        key = (atom, domain)
        if key not in self._masks:
            self._masks[key] = self._subjects(atom, domain)
        return self._masks[key]

    def roles(self, atom: Atom, domain: str = "") -> int:
        """The token roles by which an atom comes to hold."""
        if not isinstance(atom, Role) or atom.graph != "g":
            return 0
        return self._held(atom, domain)[1].get(atom.role, 0)

    def _subjects(self, atom: Atom, domain: str) -> int:
        if isinstance(atom, Role):
            held = self._held(atom, domain)[0].get(atom.role, 0)
            return held | _bits(at for at, name in enumerate(self._people.names) if name == atom.role)
        return _bits(at for at, name in enumerate(self._people.names) if holds(atom, name))

    def _held(self, atom: Role, domain: str) -> tuple[dict[str, int], dict[str, int]]:
        asked = domain if atom.domain_at is not None else atom.domain
        asked = asked if self._engine.graphs[atom.graph].arity > 2 else ""
        key = (atom.graph, asked)
        if key not in self._by_domain:
            self._by_domain[key] = self._walked(*key)
        return self._by_domain[key]

    def _walked(self, graph: str, domain: str) -> tuple[dict[str, int], dict[str, int]]:
        """By each role: who has it, and which token roles bring it."""
        links = self._engine.graphs[graph]
        subjects: dict[str, list[int]] = {}
        for at, name in enumerate(self._people.names):
            extra = self._people.implied(name) if graph == "g" else ()
            for role in RequestRoles(links, name, extra).reached(name, domain):
                subjects.setdefault(role, []).append(at)
        roles: dict[str, list[int]] = {}
        for at, role in enumerate(self._people.roles if graph == "g" else ()):
            for reached in RequestRoles(links, _NOBODY, (role,)).reached(_NOBODY, domain):
                roles.setdefault(reached, []).append(at)
        return (
            {role: _bits(numbers) for role, numbers in subjects.items()},
            {role: _bits(numbers) for role, numbers in roles.items()},
        )


def _bits(numbers: Iterable[int]) -> int:
    ordered = list(numbers)
    if not ordered:
        return 0
    whole = bytearray(max(ordered) // 8 + 1)
    for number in ordered:
        whole[number // 8] |= 1 << number % 8
    return int.from_bytes(whole, "little")
