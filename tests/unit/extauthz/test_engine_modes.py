"""Indexed or scanned, and how that shows; what a sample finds; that nothing changes under threads or strangers."""

from __future__ import annotations

import sys
import threading
from typing import Any

import pytest
from policy_texts import DENY_OVERRIDE, SUBJECT_PRIORITY, model_text, source

from extauthz.engine import EnforceError, Engine, load
from extauthz.engine.compat import differences
from extauthz.engine.scan import Scan
from extauthz.engine.selfcheck import disagreement

RULES = (
    "p, alice, /a, GET, allow\np, role:a, /b/:id, GET, allow\np, role:a, /b/1, GET, deny\ng, bob, role:a\n"
)


@pytest.mark.parametrize(
    ("matcher", "reason"),
    [
        pytest.param("timeMatch(p.obj, p.act)", "timeMatch() is not compiled", id="a function of the clock"),
        pytest.param("r.sub.Age > 18", "r.sub.Age is not compiled", id="an attribute"),
        pytest.param("r.sub", "the matcher gives a text, not true or false", id="a text"),
        pytest.param(
            "r.sub && r.obj == p.obj", "r.sub is a text where true or false is needed", id="a text in an and"
        ),
        pytest.param(
            "keyMatch2(p.obj, r.obj)",
            "keyMatch2(p.obj, r.obj): only a value of the request is matched with patterns",
            id="a pattern that a request brings",
        ),
        pytest.param("g(r.sub)", "g(r.sub): g is defined with 2 values", id="a role of nothing"),
        pytest.param(
            "r.sub == p.sub == r.obj", "comparisons in a row are not compiled", id="comparisons in a row"
        ),
        pytest.param("r.sub + p.sub == 'ab'", "r.sub + p.sub is not compiled", id="a sum"),
        pytest.param("r.sub in (1, 2)", "1 is a number where a text is needed", id="numbers"),
        pytest.param("r.act > 3", "r.act > 3 compares a text with a number", id="a number"),
        pytest.param("regexMatch(r.obj, '(')", "missing )", id="a constant that is no expression"),
        pytest.param(
            "keyMatch4(r.obj, '/(a)')", "groups other than {name}", id="a constant on which Casbin fails"
        ),
    ],
)
def test_what_is_not_compiled_is_scanned_and_says_why(matcher: str, reason: str) -> None:
    engine, found = load(source(RULES, model_text(matcher=matcher)))

    assert engine is not None
    assert engine.mode == "pycasbin"
    assert reason in engine.fallback_reason
    assert any(finding.code == "fallback" and reason in finding.message for finding in found)


@pytest.mark.parametrize(
    "matcher",
    [
        "g(r.sub, p.sub) && keyMatch2(r.obj, p.obj) && r.act == p.act",
        "r.sub == 'root' || g(r.sub, p.sub) && keyMatch(r.obj, p.obj)",
        "!(r.sub != p.sub) && r.act in ('GET', 'POST') && r.obj < p.obj",
        "keyMatch(p.obj, r.obj) && keyMatch2(r.obj, '/a/:id')",
        "g(r.sub, 'role:a') && r.obj == p.obj",
        "g(p.sub, r.sub) && r.obj == p.obj && True",
    ],
)
def test_what_is_compiled_answers_as_the_scan_does(matcher: str) -> None:
    engine = Engine.from_source(source(RULES, model_text(matcher=matcher)))

    assert engine.mode == "indexed"
    assert engine.fallback_reason == ""
    for subject in ("alice", "bob", "root", "role:a", "zoe"):
        for path in ("/a", "/b/1", "/b/2", "/a/1"):
            for roles in ((), ("role:a",)):
                values = (subject, path, "GET")
                assert engine.scan(values, roles) == engine.enforce(*values, roles=roles), (values, roles)


def test_values_that_are_no_texts_are_left_to_pycasbins_evaluator() -> None:
    engine = Engine.from_source(source(RULES, model_text(matcher="r.sub == p.sub && r.obj != p.obj")))
    number: Any = 5

    assert engine.enforce("alice", number, "GET").allowed

    engine = Engine.from_source(source(RULES, model_text(effect=DENY_OVERRIDE)))
    with pytest.raises(EnforceError):
        engine.enforce("bob", number, "GET")


def test_a_sample_finds_an_index_that_loses_rules_or_finds_too_many() -> None:
    engine = Engine.from_source(source(RULES))
    scan = Scan(engine.model, engine.rules, engine.graphs)
    assert engine.decide is not None

    assert disagreement(engine.decide, engine.matcher, scan, "seed") == ""
    assert "should have decided" in disagreement(lambda *_: None, engine.matcher, scan, "seed")  # type: ignore[arg-type]
    assert "does not match" in disagreement(lambda *_: (0,), engine.matcher, scan, "seed")  # type: ignore[arg-type]


def test_a_policy_whose_sample_disagrees_is_scanned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("extauthz.engine.enforcer.disagreement", lambda *_: "('alice',): nonsense")
    engine = Engine.from_source(source(RULES))

    assert engine.mode == "pycasbin"
    assert "this is a defect of gateledger" in engine.fallback_reason
    assert engine.enforce("bob", "/b/2", "GET").allowed


def test_compat_lists_what_pycasbin_makes_of_each_line() -> None:
    policy = (
        "p, alice, /a, GET, allow\n"
        'p, "a, b", /a, GET, allow\n'
        "P, alice, /a, GET, allow\n"
        "p, alice, /a\n"
        "p, alice, /a, GET, Deny\n"
        "p, alice, /a, GET, allow # note\n"
        "g, alice, role:a, domain\n"
        "p, alice, /a), GET, allow\n"
        "g, alice\n"
    )

    assert [
        (2, "pycasbin reads 'p', '\"a', 'b\"', '/a', 'GET', 'allow'"),
        (3, "pycasbin drops this row without a word: 'P' is nothing to it"),
        (4, "pycasbin loads this row, and fails on each request for which it comes so far"),
        (5, "pycasbin loads this row, and ignores it: 'Deny' is no effect"),
        (6, "pycasbin reads 'p', 'alice', '/a', 'GET', 'allow # note'"),
        (7, "pycasbin ignores what stands behind field 2"),
        (8, "pycasbin cannot load the file: IndexError: pop from empty list"),
        (9, "pycasbin cannot load the file: 1 fields for g"),
    ] == [(finding.line, finding.message) for finding in differences(source(policy))]
    assert differences(source("\ufeffp, alice, /a, GET, allow\n"))[0].message.startswith(
        "pycasbin drops this row"
    )


def test_nothing_grows_under_any_number_of_strangers() -> None:
    roles = "".join(f"g, bob, role:{i}\n" for i in range(40))
    domains = model_text(
        request="sub, dom, obj",
        policy="sub, dom, obj, eft",
        roles={"g": "_, _, _"},
        matcher="g(r.sub, p.sub, r.dom) && r.dom == p.dom && keyMatch2(r.obj, p.obj)",
    )
    plain = Engine.from_source(source(RULES + roles))
    in_domains = Engine.from_source(source("p, role:a, d, /a/:id, allow\ng, bob, role:a, d\n", domains))

    def ask(number: int) -> None:
        plain.enforce(f"nobody{number}", f"/b/{number}", "GET", roles=(f"role:x{number}",))
        in_domains.enforce(f"nobody{number}", f"d{number}", f"/a/{number}", roles=(f"role:x{number}",))

    for number in range(3_000):
        ask(number)
    before = sys.getallocatedblocks()
    for number in range(3_000, 13_000):
        ask(number)

    assert sys.getallocatedblocks() - before < 500


def test_policies_that_change_under_threads_never_flip_a_decision() -> None:
    """pycasbin, which reloads in place, gave thousands of wrong answers here."""
    texts = [RULES, RULES + "p, carol, /c, GET, deny\n", "# longer\n" * 50 + RULES]
    engines = [Engine.from_source(source(text, model_text(effect=DENY_OVERRIDE))) for text in texts]
    current = [engines[0]]
    wrong: list[tuple[str, ...]] = []
    done = threading.Event()

    def decide() -> None:
        while not done.is_set():
            engine = current[0]
            if (
                engine.enforce("bob", "/b/1", "GET").allowed
                or not engine.enforce("bob", "/b/2", "GET").allowed
            ):
                wrong.append(("bob",))
            if engine.enforce("zoe", "/b/1", "GET", roles=("role:a",)).allowed:
                wrong.append(("zoe",))

    threads = [threading.Thread(target=decide) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(60):
        text = texts[number % 3]
        current[0] = Engine.from_source(source(text, model_text(effect=DENY_OVERRIDE)))
    done.set()
    for thread in threads:
        thread.join()

    assert wrong == []


def test_subject_priority_is_not_changed_by_the_roles_of_a_request() -> None:
    policy = "p, role:a, /a, GET, deny\np, alice, /a, GET, allow\ng, alice, role:a\n"
    engine = Engine.from_source(source(policy, model_text(effect=SUBJECT_PRIORITY)))

    assert engine.enforce("alice", "/a", "GET", roles=("role:b",)).allowed


@pytest.mark.parametrize(
    "matcher",
    [
        "g(r.sub, p.sub) && r.obj == p.obj && (r.act == p.act || p.act == '*')",
        "(g(r.sub, p.sub) || p.sub == '*') && r.obj == p.obj && r.act == p.act",
    ],
)
def test_a_star_that_the_matcher_itself_knows_is_no_error(matcher: str) -> None:
    star = "p, alice, /a, *, allow\n" if "p.act == '*'" in matcher else "p, *, /a, GET, allow\n"
    engine, found = load(source(star, model_text(matcher=matcher)), ("subject", "resource", "action"))

    assert engine is not None, found
    assert engine.enforce("alice", "/a", "GET").allowed


def test_groups_on_which_keymatch4_fails_are_refused() -> None:
    model = model_text(matcher="g(r.sub, p.sub) && keyMatch4(r.obj, p.obj) && r.act == p.act")

    assert ["pattern"] == [finding.code for finding in load(source("p, a, /(a)/b, GET, allow\n", model))[1]]
