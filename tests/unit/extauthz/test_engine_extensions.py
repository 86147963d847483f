"""What a model may use because the settings say so, and roles with times: pycasbin's answers, and what is refused."""

from __future__ import annotations

import logging
from typing import Any

import casbin
import pytest
from casbin.persist.adapters import StringAdapter
from casbin.util import builtin_operators
from policy_texts import ALLOW_AND_DENY, model_text, source

from extauthz.analysis.unanswerable import Unanswerable
from extauthz.analysis.who_can import who_can
from extauthz.engine import EnforceError, Engine, Extensions, load
from extauthz.engine.explain import nearest, role_path
from extauthz.explanation import Question, explain

EVAL = Extensions(eval_rules=True)
EVAL_MODEL = model_text(matcher="eval(p.sub) && keyMatch2(r.obj, p.obj) && r.act == p.act")
EVAL_POLICY = """\
p, r.sub == 'alice' && !(r.act == 'PUT'), /a/:id, GET, allow
p, g(r.sub, 'role:a') || r.sub in ('carol', 'dave'), /b, GET, allow
p, "r.sub == 'a#b'", /c, GET, allow
p, keyMatch(r.sub, 'svc-*'), /a/1, GET, deny
p, "r.sub == ""zoe"" ", /a/1, GET, allow
p, True, /public, GET, allow
p, r.sub + 'x' == 'bobx', /a/1, GET, allow
g, bob, role:a
"""
SUBJECTS = ("alice", "bob", "carol", "dave", "a#b", "svc-1", "zoe", "role:a", "")
PATHS = ("/a/1", "/a/2", "/b", "/c", "/public", "/none")
ALWAYS, NEVER = "2000-01-01 00:00:00", "2000-01-02 00:00:00"


@pytest.fixture(autouse=True)
def quiet() -> None:
    """Pycasbin logs each request."""
    logging.getLogger("casbin").setLevel(logging.CRITICAL)


def enforcer(model: str, rows: list[list[str]]) -> Any:
    """Pycasbin with these rows, past its loader's reading of quotes."""
    made = casbin.Enforcer(casbin.Enforcer.new_model(text=model), StringAdapter("p, nobody, /, GET, deny"))
    made.get_model()["p"]["p"].policy.clear()
    for ptype, *fields in rows:
        made.get_model()[ptype[0]][ptype].policy.append(fields)
    made.build_role_links()
    return made


def test_eval_is_refused_unless_it_is_switched_on() -> None:
    engine, found = load(source(EVAL_POLICY, EVAL_MODEL))

    assert engine is None
    assert "extauthz.eval_rules switches it on" in str(found[0])


def test_expressions_in_rules_answer_as_pycasbin_does() -> None:
    engine = Engine.from_source(source(EVAL_POLICY, EVAL_MODEL), extensions=EVAL)
    rows = [["p", *fields] for fields in engine.rules.fields]
    theirs = enforcer(EVAL_MODEL, [*rows, ["g", "bob", "role:a"]])
    allowed = 0
    for subject in SUBJECTS:
        for path in PATHS:
            verdict = engine.enforce(subject, path, "GET")
            allowed += verdict.allowed

            assert (verdict.allowed, list(verdict.rule or ())) == theirs.enforce_ex(subject, path, "GET")
    assert allowed > len(SUBJECTS)


def test_eval_is_seen_in_mode_and_findings_and_explained() -> None:
    engine = Engine.from_source(source(EVAL_POLICY, EVAL_MODEL), extensions=EVAL)

    assert engine.mode == "pycasbin"
    assert "eval() is not compiled" in engine.fallback_reason
    assert [finding.code for finding in engine.findings if finding.code == "fallback"] == ["fallback"]
    assert [near.row.line for near in nearest(engine, ("bob", "/a/2", "GET"), ())][:2] == [1, 2]
    explained = explain(engine, Question(("alice", "/a/1", "GET")), every_rule=True)
    assert [one.row.line for one in explained.matching or ()] == [1]
    with pytest.raises(Unanswerable, match=r"eval\(p\.sub\) has no exact answer"):
        who_can(engine, ("/a/1", "GET"), ())


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        pytest.param(
            "'(' == '(') or (True and ')' == ')'", "is no expression by itself", id="it closes the bracket"
        ),
        pytest.param("True) or (True", "a ')' that closes nothing", id="it opens another bracket"),
        pytest.param('"True # "', "is no expression by itself", id="it comments the matcher out"),
        pytest.param("", "is no expression by itself", id="nothing"),
        pytest.param("r.sub == 'alice'; True", "not one expression", id="two statements"),
        pytest.param("__import__('os').system('id')", "texts and have none", id="an import"),
        pytest.param("open('/etc/passwd') == ''", "unknown function open()", id="a builtin"),
        pytest.param("eval(p.obj)", "eval() within what is evaluated", id="eval within"),
        pytest.param("r.nobody == 'x'", "r.nobody is not defined", id="an unknown field"),
        pytest.param("globals", "globals is not defined", id="a name"),
        pytest.param("(lambda: True)()", "a lambda", id="a lambda"),
    ],
)
def test_an_expression_that_is_none_is_refused_with_its_line(expression: str, message: str) -> None:
    policy = f"p, r.sub == 'x', /a, GET, allow\np, {expression}, /a, GET, allow\n"

    engine, found = load(source(policy, EVAL_MODEL), extensions=EVAL)

    assert engine is None
    assert any(finding.line == 2 and message in finding.message for finding in found), found


@pytest.mark.parametrize(
    "expression",
    [
        pytest.param("r.sub.__class__ == 'x'", id="what is hidden in a text"),
        pytest.param("'{0.__class__}'.format(r.sub) == 'x'", id="what a format reaches"),
        pytest.param("9**9**9 == 1", id="a number without end"),
        pytest.param("'a' * 999999999 == r.sub", id="a text without end"),
        pytest.param("(r.sub, r.act)[7] == r.sub", id="a place that is none"),
    ],
)
def test_what_the_sandbox_refuses_fails_the_request(expression: str) -> None:
    engine = Engine.from_source(source(f"p, {expression}, /a, GET, allow\n", EVAL_MODEL), extensions=EVAL)

    with pytest.raises(EnforceError):
        engine.enforce("alice", "/a", "GET")


def test_a_function_of_ones_own_is_called_as_pycasbin_calls_it() -> None:
    def starts(value: str, beginning: str) -> bool:
        return value.startswith(beginning)

    model = model_text(matcher="g(r.sub, p.sub) && starts(r.obj, p.obj) && r.act == p.act")
    policy = "p, role:a, /a, GET, allow\np, alice, /a/b, GET, deny\ng, alice, role:a\n"
    engine = Engine.from_source(source(policy, model), extensions=Extensions(functions={"starts": starts}))
    theirs = enforcer(model, [line.split(", ") for line in policy.splitlines()])
    theirs.add_function("starts", starts)

    assert engine.mode == "pycasbin"
    assert "starts() is not compiled" in engine.fallback_reason
    for path in ("/a", "/ab", "/a/b", "/a/bc", "/"):
        verdict = engine.enforce("alice", path, "GET")
        assert (verdict.allowed, list(verdict.rule or ())) == theirs.enforce_ex("alice", path, "GET")


def test_a_function_of_ones_own_that_fails_fails_the_request() -> None:
    model = model_text(matcher="mine(r.obj) && r.sub == p.sub")
    for wrong in (lambda _: 1 // 0 == 0, lambda _: None):
        extensions = Extensions(functions={"mine": wrong})
        engine = Engine.from_source(source("p, alice, /a, GET, allow\n", model), extensions=extensions)
        with pytest.raises(EnforceError):
            engine.enforce("alice", "/a", "GET")


@pytest.mark.parametrize("name", ["keyMatch2", "g", "g2", "eval", "list", "r_sub", "p_sub", "__x", "a b", ""])
def test_a_function_of_ones_own_takes_no_name_of_casbins(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        Extensions(functions={name: bool})


TIMED = model_text(roles={"g": "_, _, (_, _)"})
TIMED_POLICY = f"""\
p, role:a, /a, GET, allow
p, role:b, /b, GET, allow
p, role:c, /c, GET, allow
g, alice, role:a, _, _
g, alice, role:b, {ALWAYS}, {NEVER}
g, alice, role:c, {ALWAYS}, _
g, role:c, role:b, _, 9999-12-30 00:00:00
g, bob, role:c, 9999-12-30 00:00:00, _
"""


def test_roles_with_times_are_timematchs_as_pycasbin_has_them() -> None:
    engine = Engine.from_source(source(TIMED_POLICY, TIMED))
    theirs = casbin.Enforcer(casbin.Enforcer.new_model(text=TIMED), StringAdapter(TIMED_POLICY))
    # Without these pycasbin takes no notice of the times.
    for line in TIMED_POLICY.splitlines()[3:]:
        _, name, role, *_ = line.split(", ")
        theirs.add_named_link_condition_func("g", name, role, builtin_operators.time_match_func)

    assert engine.mode == "pycasbin"
    assert "roles of g hold at some times only" in engine.fallback_reason
    for subject in ("alice", "bob", "role:c", "role:a", "zoe"):
        for path in ("/a", "/b", "/c"):
            assert engine.enforce(subject, path, "GET").allowed == theirs.enforce(subject, path, "GET")
    assert engine.enforce("alice", "/b", "GET").allowed
    assert not engine.enforce("bob", "/c", "GET").allowed


def test_roles_with_times_are_explained_and_never_guessed_about() -> None:
    engine = Engine.from_source(source(TIMED_POLICY, TIMED))
    verdict = engine.enforce("alice", "/b", "GET")

    assert role_path(engine, ("alice", "/b", "GET"), (), verdict) == ("alice", "role:c", "role:b")
    assert engine.enforce("zoe", "/c", "GET", roles=("role:c",)).allowed
    with pytest.raises(Unanswerable, match="hold at some times only"):
        who_can(engine, ("/b", "GET"), ())


@pytest.mark.parametrize(
    ("row", "message"),
    [
        pytest.param("g, bob, role:a, tomorrow, _", "'tomorrow' is no time like", id="no time"),
        pytest.param("g, bob, role:a, 2030-01-01, _", "'2030-01-01' is no time like", id="a day"),
        pytest.param("g, bob, role:a", "the model's g wants 4 (name, role, from, until)", id="no times"),
        pytest.param(f"g, alice, role:a, {ALWAYS}, {NEVER}", "the link of line 4 at other times", id="twice"),
    ],
)
def test_times_that_cannot_be_meant_are_refused(row: str, message: str) -> None:
    engine, found = load(source(f"{TIMED_POLICY}{row}\n", TIMED))

    assert engine is None
    assert any(finding.line == 9 and message in finding.message for finding in found), found


def test_times_beside_roles_without_are_refused() -> None:
    model = model_text(
        roles={"g": "_, _, (_, _)", "g2": "_, _"}, matcher="g(r.sub, p.sub) && g2(r.obj, p.obj)"
    )

    engine, found = load(source("p, alice, /a, GET, allow\n", model))

    assert engine is None
    assert "pycasbin then forgets the roles of those without" in str(found[0])


def test_a_clock_in_the_matcher_is_read_at_each_request() -> None:
    model = model_text(
        policy="sub, obj, since, until, eft",
        effect=ALLOW_AND_DENY,
        matcher="r.sub == p.sub && keyMatch2(r.obj, p.obj) && timeMatch(p.since, p.until)",
    )
    policy = f"p, alice, /a, {ALWAYS}, _, allow\np, alice, /b, {ALWAYS}, {NEVER}, allow\n"
    engine = Engine.from_source(source(policy, model))

    assert engine.mode == "pycasbin"
    assert "timeMatch() is not compiled" in engine.fallback_reason
    assert engine.enforce("alice", "/a", "GET").allowed
    assert not engine.enforce("alice", "/b", "GET").allowed
