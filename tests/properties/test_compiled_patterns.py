"""Compiled patterns against Casbin's functions; and what an index knows of a pattern against what it matches."""

from __future__ import annotations

import random
import re

import pytest

from extauthz.engine.heads import anchors_of, head_of, indexed_value
from extauthz.engine.lint import checked_pattern
from extauthz.engine.patterns import COMPILERS, LINE_COMPILERS, tried
from extauthz.engine.reference import matching_functions

TOKENS = {
    "keyMatch": ["/", "a", "b", "*", "ab", "?"],
    "keyMatch2": [
        "/",
        "/",
        "a",
        "b",
        "ab",
        ":x",
        ":",
        "/*",
        "*",
        ".",
        "a.b",
        "|",
        "?",
        "/:id",
        "+",
        "(a)",
        "-",
    ],
    "keyMatch3": ["/", "/", "a", "b", "{x}", "{", "}", "/*", ".", "/{id}", "{y}_{z}"],
    "keyMatch4": ["/", "/", "a", "b", "{x}", "/*", "/{x}", ".", "/{id}", "{y}_{z}"],
    "keyMatch5": ["/", "/", "a", "b", "{x}", "/*", ".", "/{id}", "{y}_{z}"],
    "regexMatch": ["^", "$", "a", "b", "/", ".*", "[ab]+", "|", "(?i)A", "\\d", "a?", "/+"],
    "globMatch": ["*", "/", "a", "b", "**", "/**", "*/", "?", "[ab]", "{a,b}", ".a", "\\a", "!a", "//"],
}
TEXTS = ["/", "/", "a", "b", "ab", "A", "x", "1", "\n", "//", "?q", "a.b", ".", "_", "/a/b", "a/"]
PATTERNS = 3_000


def text_for(pattern: str, chance: random.Random) -> str:
    """A text that the pattern may well match."""
    if chance.random() < 0.4:
        return "".join(chance.choice(TEXTS) for _ in range(chance.randint(0, 7)))
    text = re.sub(r":\w|\{\w\}", lambda _: chance.choice(["a", "xy", "1", "/"]), pattern)
    text = text.replace("*", chance.choice(["", "a", "a/b", "/", "b/a/b"]))
    if chance.random() < 0.2:
        text = text.replace("a", chance.choice("ab/.x"), 1)
    return text + ("\n" if chance.random() < 0.1 else "")


@pytest.mark.parametrize("function", TOKENS)
def test_a_compiled_pattern_matches_what_casbins_function_matches(function: str) -> None:
    chance = random.Random(function)
    theirs = matching_functions()[function]
    matched = 0
    for _ in range(PATTERNS):
        pattern = "".join(chance.choice(TOKENS[function]) for _ in range(chance.randint(1, 7)))
        if checked_pattern(function, pattern):
            continue
        head, anchors = head_of(function, pattern), anchors_of(function, pattern)
        for _ in range(6):
            text = text_for(pattern, chance)
            compiler = (LINE_COMPILERS if "\n" in text else COMPILERS)[function]
            expected = theirs(text, pattern)

            assert expected == bool(tried(compiler(pattern), text)), (pattern, text)

            if expected:
                matched += 1
                asked = indexed_value(function, text)
                segments = [segment.rstrip("\n") for segment in asked.split("/")]

                assert asked.startswith(head.text), (pattern, text)
                assert not head.whole or asked.rstrip("\n") == head.text, (pattern, text)
                for place, segment in anchors:
                    assert segment == segments[place] if place >= 0 else segment in segments, (pattern, text)
    assert matched > PATTERNS / 10


@pytest.mark.parametrize("function", ["keyMatch2", "keyMatch3", "keyMatch5"])
def test_many_stars_do_not_multiply(function: str) -> None:
    """The expression itself would try some 10**15 ways."""
    pattern = "/*".join(["/a", *("/b/c" for _ in range(12)), "/nowhere"])
    path = "/a" + "/b/c" * 400

    assert not tried(COMPILERS[function](pattern), path)
    assert tried(COMPILERS[function](pattern), path + "/nowhere")
