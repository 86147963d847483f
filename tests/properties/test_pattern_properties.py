"""Patterns taken apart mean what they mean to pycasbin, and every way in which they combine is found."""

from __future__ import annotations

import itertools

import pytest
from casbin.util import builtin_operators
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from access import BadPath, normalise
from extauthz.analysis.alphabet import Alphabet
from extauthz.analysis.atom import Equal, Match
from extauthz.analysis.boxes import match
from extauthz.analysis.classes import classes
from extauthz.analysis.domain import domain_of
from extauthz.analysis.pattern import equal_segments, nfa_of
from extauthz.analysis.unanswerable import Unanswerable

FUNCTIONS = {
    "keyMatch": builtin_operators.key_match,
    "keyMatch2": builtin_operators.key_match2,
    "keyMatch3": builtin_operators.key_match3,
    "keyMatch4": builtin_operators.key_match4,
    "keyMatch5": builtin_operators.key_match5,
}
PIECES = st.sampled_from(
    [
        *[
            "/",
            "a",
            "b",
            "/a",
            "/*",
            "*",
            ":",
            "/:id",
            "/a:b",
            "{x}",
            "/{y}",
            ".",
            "|",
            "+",
            "?",
            "[ab]",
            "[^a]",
        ],
        *["(?:a|b)", "a{2}", "$", "^", "%", "%20", "\\d", "1", "/a.b", "-"],
    ]
)
PATTERNS = st.lists(PIECES, min_size=1, max_size=5).map("".join)
ALPHABET = Alphabet("ab1/?.:%*20-")
TEXTS = st.text(ALPHABET.characters, max_size=7)


def of_casbin(function: str, text: str, pattern: str) -> bool:
    try:
        return bool(FUNCTIONS[function](text, pattern))
    except Exception:  # pycasbin raises anything
        assume(condition=False)
        raise


@settings(max_examples=4000, deadline=None)
@example("keyMatch4", "{x}/{x}", ["0/1", "0/0"])
@given(st.sampled_from(sorted(FUNCTIONS)), PATTERNS, st.lists(TEXTS, min_size=5, max_size=20))
def test_a_pattern_accepts_what_pycasbin_matches(function: str, pattern: str, texts: list[str]) -> None:
    try:
        nfa, pairs = nfa_of(function, pattern, ALPHABET), equal_segments(function, pattern)
    except Unanswerable:
        assume(condition=False)

    def accepts(text: str) -> bool:
        segments = text.split("/")
        return nfa.accepts(text, ALPHABET) and all(segments[one] == segments[other] for one, other in pairs)

    for text in texts:
        assert of_casbin(function, text, pattern) is accepts(text), text


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(sorted(FUNCTIONS)), PATTERNS, st.lists(TEXTS, min_size=5, max_size=20))
def test_the_simplest_atom_says_the_same(function: str, pattern: str, texts: list[str]) -> None:
    atom = match(0, function, pattern)

    for text in texts:
        wanted = of_casbin(function, text, pattern)
        if isinstance(atom, Match):
            assert wanted is of_casbin(atom.function, text, atom.pattern)
        else:
            assert wanted is (text == atom.value if isinstance(atom, Equal) else atom), text


def paths(longest: int) -> list[str]:
    """All paths over a few characters that the normaliser accepts as they are."""
    found = []
    for length in range(longest):
        for characters in itertools.product("/ab.", repeat=length):
            path = "/" + "".join(characters)
            try:
                if normalise(path) == path:
                    found.append(path)
            except BadPath:
                continue
    return [*found, "/%20", "/a%20", "/%20/a", "/x/y", "/%C3%A9", "/a/b/a/b"]


PATHS = paths(6)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(FUNCTIONS)), PATTERNS), min_size=1, max_size=6))
def test_the_classes_of_paths_are_all_there_are(chosen: list[tuple[str, str]]) -> None:
    atoms = [Match(0, function, pattern) for function, pattern in chosen]
    try:
        found = classes(domain_of("resource", 0), atoms)
    except Unanswerable:
        assume(condition=False)
    by_holding = {one.holding: one.value for one in found}

    def holding(path: str) -> frozenset[object]:
        return frozenset(atom for atom in atoms if of_casbin(atom.function, path, atom.pattern))

    assert len(by_holding) == len(found)
    for held, path in by_holding.items():
        assert normalise(path) == path
        assert held == holding(path)
    for path in PATHS:
        assert holding(path) in by_holding, path


@pytest.mark.parametrize("attribute", ["subject", "action", "service", "host", ""])
@settings(max_examples=60, deadline=None)
@given(patterns=st.lists(PATTERNS, min_size=1, max_size=4), texts=st.lists(st.text("abGET1/.*-", max_size=4)))
def test_the_classes_of_other_values_are_all_there_are(
    attribute: str, patterns: list[str], texts: list[str]
) -> None:
    atoms = [Match(0, "keyMatch2", pattern) for pattern in patterns]
    domain = domain_of(attribute, 0, patterns)
    try:
        found = classes(domain, atoms)
    except Unanswerable:
        assume(condition=False)
    by_holding = {one.holding: one.value for one in found}

    def holding(text: str) -> frozenset[object]:
        return frozenset(atom for atom in atoms if of_casbin(atom.function, text, atom.pattern))

    for held, value in by_holding.items():
        assert domain.holds(value)
        assert held == holding(value)
    for text in filter(domain.holds, texts):
        assert holding(text) in by_holding, text


NETWORKS = st.sampled_from(
    ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "0.0.0.0/0", "::/0", "2001:db8::/32", "fe80::1"]
)
ADDRESSES = [
    "10.1.2.3",
    "10.1.2.4",
    "10.2.0.0",
    "9.9.9.9",
    "255.255.255.255",
    "::",
    "2001:db8::5",
    "fe80::1",
    "ffff::",
]


@given(st.lists(NETWORKS, min_size=1, max_size=5, unique=True))
def test_the_classes_of_addresses_are_all_there_are(networks: list[str]) -> None:
    atoms = [Match(0, "ipMatch", network) for network in networks]
    by_holding = {one.holding: one.value for one in classes(domain_of("client_address", 0), atoms)}

    def holding(address: str) -> frozenset[object]:
        return frozenset(atom for atom in atoms if builtin_operators.ip_match(address, atom.pattern))

    for held, address in by_holding.items():
        assert held == holding(address)
    for address in ADDRESSES:
        assert holding(address) in by_holding
