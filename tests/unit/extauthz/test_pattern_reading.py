"""Patterns that do not mean what they look like: what lint says, and that pycasbin's functions do what it says."""

from __future__ import annotations

import pytest
from policy_texts import ALLOW_OVERRIDE, model_text, source

from extauthz.engine import load
from extauthz.engine.reading import misreading
from extauthz.engine.reference import matching_functions

REQUEST = ("subject", "resource", "action")
# A pattern; a text that it matches though it does not look so; one that it does not match though it looks so.
MISREAD = [
    pytest.param("keyMatch2", "/public|/health", "/public-keys", "", "'|' parts", id="a bar"),
    pytest.param("keyMatch3", "/public|/health", "/public/secret", "", "'|' parts", id="a bar, keyMatch3"),
    pytest.param("keyMatch5", "(/a)|/b", "/anything", "", "'|' parts", id="a bar behind a group"),
    pytest.param("keyMatch2", "/v1/docs/:id:read", "/v1/docs/1:write", "", "':id:read' is one", id="a verb"),
    pytest.param("keyMatch2", "/x/:id.json", "/x/1.xml", "", "':id.json' is one", id="an ending"),
    pytest.param("keyMatch2", "/x/:a,:b", "/x/1", "", "':a,:b' is one", id="two in a segment"),
    pytest.param("keyMatch4", "/a/{p}_{q}", "/a/1", "", "'{p}_{q}' is one variable", id="greedy braces"),
    pytest.param("keyMatch5", "/a/{p}-{q}", "/a/1", "", "'{p}-{q}' is one variable", id="greedy, keyMatch5"),
    pytest.param(
        "keyMatch2", "/foo*", "/fooooo", "/foobar", "'*' repeats the 'o'", id="a star behind a letter"
    ),
    pytest.param("keyMatch3", "/foo*", "/fo", "/foobar", "'*' repeats the 'o'", id="a star, keyMatch3"),
    pytest.param("keyMatch", "f*oo", "fence", "", "all that begins with 'f'", id="text behind a star"),
    pytest.param("keyMatch", "G*T", "GREP", "", "all that begins with 'G'", id="a method with a star"),
    pytest.param("keyMatch", "/foo/*/bar", "/foo/evil", "", "begins with '/foo/'", id="a path behind a star"),
]
DOUBTFUL = [
    pytest.param("keyMatch2", "/a+", "/aaa", "/a+", "'+' is part of an expression", id="plus"),
    pytest.param("keyMatch2", "/ab?", "/a", "/ab?", "'?' is part", id="question mark"),
    pytest.param("keyMatch2", "/(a)", "/a", "/(a)", "'(' is part", id="a group"),
    pytest.param("keyMatch2", "/(a|b)", "/b", "/(a|b)", "'(' is part", id="a bar in a group"),
    pytest.param("keyMatch2", "/[ab]", "/b", "/[ab]", "'[' is part", id="a class"),
    pytest.param("keyMatch2", "^/z$", "/z", "^/z$", "'^' is part", id="anchors"),
    pytest.param("keyMatch2", "/a.b", "/a/b", "", "'.' is any character", id="a dot"),
    pytest.param("keyMatch3", "/a.b", "/axb", "", "'.' is any character", id="a dot, keyMatch3"),
    pytest.param("keyMatch2", "/a.*", "/abc/d", "", "'.' is any character", id="what an expression means"),
    pytest.param("keyMatch2", "/a/b:c", "/a/bxyz", "", "':c' is a variable also", id="a colon in a segment"),
    pytest.param("keyMatch2", "/a/{id}", "/a/{id}", "/a/1", "which writes variables as :name", id="braces"),
    pytest.param("keyMatch4", "/a/:id", "/a/:id", "/a/1", "which writes variables as {name}", id="a colon"),
    pytest.param("keyMatch2", "/a/*/b", "/a/x/y/b", "", "any number of segments", id="a star in the middle"),
    pytest.param("keyMatch2", "/a/*.js", "/a/x/y.js", "", "'.' is any character", id="a star and an ending"),
]
CLEAN = [
    pytest.param("keyMatch2", "/orders/:id/payment/*", id="keyMatch2"),
    pytest.param("keyMatch2", "*", id="everything"),
    pytest.param("keyMatch2", "/", id="the root"),
    pytest.param("keyMatch2", r"/orders\.v1\.Orders/*", id="written dots"),
    pytest.param("keyMatch2", "/:user-id/x", id="a name with a hyphen"),
    pytest.param("keyMatch3", "/orders/{id}/payment/*", id="keyMatch3"),
    pytest.param("keyMatch4", "/{x}/{y}", id="keyMatch4"),
    pytest.param("keyMatch", "/a.b+(c)/*", id="keyMatch"),
]


def finding(function: str, pattern: str) -> list[str]:
    """What lint says about one pattern of a path."""
    model = model_text(
        effect=ALLOW_OVERRIDE, matcher=f"g(r.sub, p.sub) && {function}(r.obj, p.obj) && r.act == p.act"
    )
    _, found = load(source(f'p, alice, "{pattern}", GET, allow\n', model), REQUEST)
    return [str(one) for one in found if one.code in {"misread", "expression"}]


@pytest.mark.parametrize(("function", "pattern", "wider", "narrower", "expected"), MISREAD)
def test_what_is_surely_not_meant_is_an_error(
    function: str, pattern: str, wider: str, narrower: str, expected: str
) -> None:
    matches = matching_functions()[function]

    assert matches(wider, pattern)
    assert not narrower or not matches(narrower, pattern)

    (found, *_) = finding(function, pattern)

    assert "error[misread]" in found
    assert expected in found


@pytest.mark.parametrize(("function", "pattern", "wider", "narrower", "expected"), DOUBTFUL)
def test_what_is_hardly_meant_is_a_warning(
    function: str, pattern: str, wider: str, narrower: str, expected: str
) -> None:
    matches = matching_functions()[function]

    assert matches(wider, pattern)
    assert not narrower or not matches(narrower, pattern)

    (found,) = finding(function, pattern)

    assert "warning[expression]" in found
    assert expected in found


@pytest.mark.parametrize(("function", "pattern"), CLEAN)
def test_what_reads_as_it_is_has_no_finding(function: str, pattern: str) -> None:
    assert [] == finding(function, pattern)
    assert misreading(function, pattern) is None


@pytest.mark.parametrize(
    ("pattern", "dead"),
    [
        pytest.param("^/z$", False, id="anchors"),
        pytest.param("(/z)", False, id="a group"),
        pytest.param("/a/../b", False, id="dots that are any characters"),
        pytest.param("z", True, id="no slash"),
        pytest.param(":x/z", True, id="a variable for the slash"),
        pytest.param("/a//b", True, id="two slashes"),
        pytest.param("/a;b", True, id="a parameter"),
    ],
)
def test_only_a_path_that_nothing_matches_is_called_dead(pattern: str, *, dead: bool) -> None:
    _, found = load(source(f'p, alice, "{pattern}", GET, allow\n'), REQUEST)

    assert dead is any(one.code == "path" for one in found)


def test_a_policy_about_anything_else_is_not_held_to_how_paths_are_read() -> None:
    engine, _ = load(source("p, alice, /public|/health, GET, allow\n"))

    assert engine is not None
