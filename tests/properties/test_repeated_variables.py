"""Patterns with a variable that stands twice, against pycasbin's own functions on all short texts."""

from __future__ import annotations

import functools
import itertools

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from extauthz.analysis.alphabet import Alphabet
from extauthz.analysis.atom import Atom, Equal, Match
from extauthz.analysis.classes import classes, holds
from extauthz.analysis.domain import OPEN, Domain, domain_of
from extauthz.analysis.unanswerable import Unanswerable

LETTERS = "ab/"
LONGEST = 8
SEGMENTS = ["{x}", "{x}", "{y}", "a", "b", "ab", "bb", ""]


def small_domain(characters: str = LETTERS, *, starts_with: str = "") -> Domain:
    """All texts of a few letters up to a length."""
    alphabet = Alphabet(characters, complete=True)

    def steps(state: str) -> tuple[tuple[int, str], ...]:
        return ((alphabet.one(starts_with) if starts_with and state == "start" else alphabet.all, OPEN),)

    def held(text: str) -> bool:
        return bool(text) and set(text) <= set(characters) and text.startswith(starts_with)

    return Domain(
        "small",
        alphabet,
        steps,
        lambda state: state == OPEN,
        held,
        lambda number: "b" * (number + 1),
        LONGEST,
    )


@functools.cache
def every_text(starts_with: str) -> tuple[str, ...]:
    texts = itertools.chain.from_iterable(
        itertools.product(LETTERS, repeat=size) for size in range(1, LONGEST + 1)
    )
    return tuple(text for text in map("".join, texts) if text.startswith(starts_with))


REPEATED = st.lists(st.sampled_from(SEGMENTS), min_size=2, max_size=4).map(
    lambda parts: "/" + "/".join(parts)
)
ROOTLESS = st.lists(st.sampled_from(SEGMENTS), min_size=1, max_size=3).map("/".join)
PATTERNS = st.one_of(
    REPEATED.map(lambda text: ("keyMatch4", text)),
    REPEATED.map(lambda text: ("keyMatch4", f"{text}/*")),
    ROOTLESS.map(lambda text: ("keyMatch4", text)),
    st.sampled_from(
        [
            ("keyMatch4", "/a/{x}"),
            ("keyMatch4", "/{x}/*"),
            ("keyMatch2", "/:x/a"),
            ("keyMatch2", "/a.b"),
            ("keyMatch2", "/*/b"),
            ("keyMatch2", "/(a|b)+/:x"),
            ("keyMatch5", "/{x}/{x}"),
            ("keyMatch", "/a*"),
        ]
    ),
)


@settings(max_examples=60, deadline=None)
@given(
    patterns=st.lists(PATTERNS, min_size=1, max_size=4),
    texts=st.lists(st.sampled_from(["/a/a", "a", "/b"])),
    rooted=st.booleans(),
)
@example(
    patterns=[("keyMatch4", "/{x}/{x}"), ("keyMatch4", "/{x}/{y}/{x}"), ("keyMatch4", "/{y}/{x}/{x}")],
    texts=[],
    rooted=True,
)
@example(patterns=[("keyMatch4", "/{x}/{y}/{x}/{y}"), ("keyMatch2", "/(a|b)/:x/*")], texts=[], rooted=True)
@example(
    # Two segments that are not compared with one another, but with the same third one, where one is a text.
    patterns=[("keyMatch4", "{x}/{y}/{x}"), ("keyMatch4", "{y}/{x}/{x}"), ("keyMatch4", "{z}/bb/{y}")],
    texts=[],
    rooted=False,
)
def test_classes_are_exactly_the_combinations_that_some_text_has(
    patterns: list[tuple[str, str]], texts: list[str], rooted: bool
) -> None:
    atoms: list[Atom] = [*(Match(0, *one) for one in patterns), *(Equal(0, text) for text in texts)]
    start = "/" if rooted else ""

    found = classes(small_domain(starts_with=start), atoms)

    for one in found:
        assert one.value.startswith(start)
        assert one.holding == {atom for atom in atoms if holds(atom, one.value)}
    some = {frozenset(atom for atom in atoms if holds(atom, text)) for text in every_text(start)}
    assert some == {one.holding for one in found}
    assert len(some) == len(found)


@pytest.mark.parametrize(
    ("patterns", "combinations"),
    [
        pytest.param(["/parent/{id}/child/{id}", "/parent/{id}/child/{other}"], 3, id="one within another"),
        pytest.param(["/{a}/{a}", "/{a}/{b}", "/x/{b}", "/{a}/x"], 6, id="equal and named"),
        pytest.param(
            ["/{a}/{b}/{a}", "/{a}/{a}/{b}", "/{a}/{b}/{b}"], 5, id="each way of three segments to be equal"
        ),
    ],
)
def test_paths_are_divided(patterns: list[str], combinations: int) -> None:
    atoms: list[Atom] = [Match(0, "keyMatch4", pattern) for pattern in patterns]

    found = classes(domain_of("resource", 0), atoms)

    assert len(found) == combinations
    for one in found:
        assert one.holding == {atom for atom in atoms if holds(atom, one.value)}


def test_a_language_of_few_texts_gives_no_more_unequal_ones_than_it_has() -> None:
    # Three segments of one letter out of two: two of them are equal.
    one_letter = Match(0, "keyMatch2", "/(a|b)/(a|b)/(a|b)")
    pairs = [Match(0, "keyMatch4", f"/{one}") for one in ("{x}/{x}/{y}", "{x}/{y}/{x}", "{y}/{x}/{x}")]

    found = classes(small_domain(starts_with="/"), [one_letter, *pairs])

    inside = {one.holding - {one_letter} for one in found if one_letter in one.holding}
    assert inside == {frozenset({pair}) for pair in pairs} | {frozenset(pairs)}


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        pytest.param("/a-{x}/{x}", "in a part of a segment", id="beside a text"),
        pytest.param("/{x}/b{x}", "in a part of a segment", id="behind a text"),
        pytest.param("/*/{x}/{x}", "beside what is an expression", id="behind a star"),
        pytest.param("/{x}/{x}/*/b", "beside what is an expression", id="before a star that is not the end"),
        pytest.param("/a.b/{x}/{x}", "beside what is an expression", id="behind a dot"),
        pytest.param("/{x}/{x}|/b", "beside what is an expression", id="before a bar"),
    ],
)
def test_variables_whose_place_is_not_known_are_refused(pattern: str, reason: str) -> None:
    with pytest.raises(Unanswerable, match=reason):
        classes(small_domain(), [Match(0, "keyMatch4", pattern)])
