"""What has no exact answer is refused with its reason; what looks hard and is not, is answered."""

from __future__ import annotations

import pytest
from policy_texts import model_text, source

from access import normalise
from extauthz.analysis import automaton
from extauthz.analysis.atom import Match
from extauthz.analysis.classes import classes
from extauthz.analysis.diff import diff
from extauthz.analysis.domain import domain_of
from extauthz.analysis.unanswerable import Unanswerable
from extauthz.analysis.what_can import what_can
from extauthz.analysis.who_can import who_can
from extauthz.analysis.witness import confirm, confirm_rule
from extauthz.engine import Engine

HTTP = ("subject", "resource", "action")


def engine(policy: str, matcher: str, **model: str) -> Engine:
    return Engine.from_source(source(policy, model_text(matcher=matcher, **model)))


@pytest.mark.parametrize(
    ("matcher", "rule", "reason"),
    [
        pytest.param(
            "g(r.sub, p.sub) && regexMatch(r.obj, p.obj)", "/a", "regexMatch(r.obj, p.obj)", id="regexMatch"
        ),
        pytest.param(
            "g(r.sub, p.sub) && globMatch(r.obj, p.obj)", "/a", "globMatch(r.obj, p.obj)", id="globMatch"
        ),
        pytest.param(
            "r.sub == r.obj && r.act == p.act", "/a", "compares two values of the request", id="two values"
        ),
        pytest.param(
            "keyMatch2(p.obj, r.obj)", "/a", "takes its pattern from the request", id="a request's pattern"
        ),
        pytest.param(
            "!g(r.sub, p.sub) && r.obj == p.obj", "/a", "has not a role", id="a role that is missed"
        ),
        pytest.param("r.obj in p.obj", "/a", "r.obj in p.obj", id="a part of a text"),
        pytest.param("keyMatch2(r.obj, p.obj)", "/(?!a)b", "cannot be taken apart exactly", id="look-ahead"),
        pytest.param(
            "keyMatch2(r.obj, p.obj)", r"/(a)\\1", "cannot be taken apart exactly", id="back reference"
        ),
        pytest.param(
            "keyMatch4(r.obj, p.obj)",
            "/a-{x}/{x}",
            "twice, in a part of a segment",
            id="equal parts of segments",
        ),
        pytest.param(
            "keyMatch2(r.obj, p.obj)", "/a{2000}", "more than 1000 repetitions", id="many repetitions"
        ),
    ],
)
def test_what_has_no_exact_answer_is_refused(matcher: str, rule: str, reason: str) -> None:
    asked = engine(f"p, alice, {rule}, GET, allow\n".replace("\\\\", "\\"), matcher)

    with pytest.raises(Unanswerable) as refused:
        diff(asked, engine("p, bob, /b, GET, allow\n", matcher), HTTP)

    assert reason in str(refused.value)


def test_patterns_that_combine_in_too_many_ways_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(automaton, "MAX_STATES", 2_000)
    atoms = [
        Match(0, "keyMatch2", f"/*{letter}{'.' * distance}") for letter in "abc" for distance in range(18)
    ]

    with pytest.raises(Unanswerable) as refused:
        classes(domain_of("resource", 0), atoms)

    assert "more than 2,000 ways" in str(refused.value)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        pytest.param("/a%20b", "/a%20b", id="an escaped space"),
        pytest.param("/caf%C3%A9/*", "/caf%C3%A9/x", id="an escaped letter beyond ASCII"),
        pytest.param("/a/%..", "/a/%20", id="any escape"),
        pytest.param("/a.b", "/a.b", id="a dot, which is any character"),
        pytest.param("/[^a-z]", "/0", id="no letter"),
        pytest.param("/a|/b", "/a", id="alternatives"),
        pytest.param("/x*y", "/xy", id="a star that repeats"),
    ],
)
def test_an_example_is_a_path_that_can_be_sent(pattern: str, path: str) -> None:
    (found,) = (
        one.value
        for one in classes(domain_of("resource", 0), [Match(0, "keyMatch2", pattern)])
        if one.holding
    )

    assert path == found == normalise(found)


@pytest.mark.parametrize(
    "pattern", ["/a//b", "/a/../b", "/%2F", "/a%41", "/%C3%28", "/a;b", "/é", "x", "/a/."]
)
def test_a_pattern_that_no_sent_path_fits_has_no_example(pattern: str) -> None:
    found = classes(domain_of("resource", 0), [Match(0, "keyMatch3", pattern.replace(".", "[.]"))])

    assert [frozenset()] == [one.holding for one in found]


def test_a_folder_s_deny_beside_its_allow_leaves_the_folder() -> None:
    asked = engine(
        "p, alice, /a*, GET, allow\np, alice, /a/*, GET, deny\n",
        "g(r.sub, p.sub) && keyMatch(r.obj, p.obj) && r.act == p.act",
    )

    (right,) = what_can(asked, "alice", (), HTTP)

    assert ("/a*", "GET") == right.region.conditions
    assert [("/a/*", "GET")] == [exception.conditions for exception in right.exceptions]
    assert "alice" in {holder.name for holder in who_can(asked, ("/a", "GET"), HTTP)}
    assert () == who_can(asked, ("/a/x", "GET"), HTTP)


def test_a_right_that_is_denied_whole_is_none() -> None:
    asked = engine(
        "p, alice, /a/:id, GET, allow\np, alice, /a/*, GET, deny\n",
        "g(r.sub, p.sub) && keyMatch2(r.obj, p.obj) && r.act == p.act",
    )

    assert () == what_can(asked, "alice", (), HTTP)


def test_an_alternative_is_taken_as_pycasbin_reads_it() -> None:
    asked = engine(
        "p, alice, /a|/b, GET, allow\np, alice, /a, GET, deny\np, alice, /b, GET, deny\n",
        "g(r.sub, p.sub) && keyMatch2(r.obj, p.obj) && r.act == p.act",
    )

    (right,) = what_can(asked, "alice", (), HTTP)

    # "^/a|/b$" holds for all that begins with /a.
    assert ("alice", "/ax", "GET") == right.witness


def test_both_readings_of_a_path_have_to_be_allowed() -> None:
    both = engine(
        "p, alice, /a/%3A, GET, allow\np, alice, /a/:, GET, allow\n",
        "g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act",
    )
    other = engine("p, alice, /a/:, GET, allow\n", "g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act")
    one = engine("p, alice, /a/%3A, GET, allow\n", "g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act")

    assert ["alice"] == [holder.name for holder in who_can(both, ("/a/%3A", "GET"), HTTP)]
    assert () == who_can(one, ("/a/%3A", "GET"), HTTP)
    assert () == who_can(other, ("/a/%3A", "GET"), HTTP)


def test_a_change_that_shows_only_with_two_roles_is_found() -> None:
    old = engine("p, role:a, /x, GET, allow\n", "g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act")
    new = engine(
        "p, role:a, /x, GET, allow\np, role:b, /x, GET, deny\n",
        "g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act",
    )

    (change,) = diff(old, new, HTTP)

    assert ("someone", "/x", "GET") == change.witness
    assert {"role:a", "role:b"} == set(change.roles)
    assert () == change.subjects


def test_addresses_are_told_apart_by_networks() -> None:
    def of(network: str) -> Engine:
        model = model_text(
            request="sub, ip", policy="sub, ip, eft", matcher="r.sub == p.sub && ipMatch(r.ip, p.ip)"
        )
        return Engine.from_source(source(f"p, alice, {network}, allow\n", model))

    (taken,) = diff(of("10.0.0.0/8"), of("10.128.0.0/9"), ("subject", "client_address"))

    assert ("alice", "10.0.0.0") == taken.witness
    assert taken.old.allowed


def test_what_is_matched_as_an_address_is_one_in_every_example() -> None:
    def of(rows: str) -> Engine:
        model = model_text(
            request="sub, ip",
            policy="sub, ip, eft",
            matcher="r.sub == p.sub && (p.ip == '*' || ipMatch(r.ip, p.ip))",
        )
        return Engine.from_source(source(rows, model))

    (change,) = diff(
        of("p, alice, 10.0.0.0/8, allow\n"), of("p, alice, 10.0.0.0/8, allow\np, bob, ::/0, allow\n"), ()
    )

    assert ("bob", "::") == change.witness


def test_an_analysis_that_the_engine_disagrees_with_says_nothing() -> None:
    asked = engine("p, alice, /a, GET, allow\n", "g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act")

    with pytest.raises(Unanswerable, match="the engine disagrees about bob /a GET"):
        confirm(asked, ("bob", "/a", "GET"), (), allowed=True)
    with pytest.raises(Unanswerable, match="by another rule"):
        confirm_rule(asked, ("alice", "/a", "GET"), (), None, allowed=True)
