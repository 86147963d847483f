from __future__ import annotations

import pytest
from policy_texts import model_text, source

from extauthz.engine import Engine
from extauthz.explanation import Question, explain

ATTRIBUTES = ("subject", "service", "resource", "action")


def question(text: str, *roles: str) -> Question:
    return Question(tuple(text.split()), roles, ATTRIBUTES)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        pytest.param(question("alice orders /orders/1 GET"), ("allow", "rule_allow", 12), id="allowed"),
        pytest.param(question("bob orders /orders/1/payment GET"), ("deny", "rule_deny", 20), id="denied"),
        pytest.param(question("zoe orders /orders/1 GET"), ("deny", "no_matching_rule", None), id="no rule"),
        pytest.param(
            question("zoe orders /orders/1 GET", "customer"), ("allow", "rule_allow", 12), id="a role"
        ),
        pytest.param(
            question("zoe orders /orders/1 GET", "role:customer"),
            ("allow", "rule_allow", 12),
            id="a role, in full",
        ),
        pytest.param(
            question("anonymous orders /orders/1 GET"), ("deny", "unauthenticated", None), id="anonymous"
        ),
        pytest.param(
            question("zoe orders /orders//./health GET"), ("allow", "rule_allow", 7), id="an odd path"
        ),
        pytest.param(question("alice orders /orders/1;x GET"), ("deny", "bad_path", None), id="a bad path"),
        pytest.param(
            question("role:admin admin /admin GET"), ("deny", "invalid_credential", None), id="no subject"
        ),
    ],
)
def test_the_answer_is_the_one_that_a_check_gets(
    engine: Engine, asked: Question, expected: tuple[str, str, int | None]
) -> None:
    found = explain(engine, asked)

    assert expected == (found.effect.value, found.reason_code.value, found.line)


def test_the_way_to_the_deciding_role_is_told(engine: Engine) -> None:
    assert explain(engine, question("carol admin /admin/status GET")).role_path == (
        "carol",
        "role:finance",
        "role:staff",
    )


def test_a_denial_without_a_rule_tells_the_nearest_ones_and_what_failed(engine: Engine) -> None:
    near = explain(engine, question("carol orders /orders GET")).nearest

    assert [
        (7, ("keyMatch2(r.obj, p.obj)",)),
        (10, ("g(r.sub, p.sub)",)),
        (16, ("g(r.sub, p.sub)",)),
    ] == [(found.row.line, found.failed) for found in near]


def test_a_model_of_another_kind_is_asked_without_meaning() -> None:
    engine = Engine.from_source(source("p, alice, /a, GET, allow\n"))

    assert explain(engine, Question(("alice", "/a", "GET"))).effect == "allow"
    assert explain(engine, Question(("anonymous", "/a;b", "GET"))).reason_code == "no_matching_rule"


def test_the_way_to_a_role_is_looked_for_in_the_domain_whatever_its_name() -> None:
    model = model_text(
        request="user, tenant, obj",
        policy="sub, dom, obj, eft",
        roles={"g": "_, _, _"},
        matcher="g(r.user, p.sub, r.tenant) && r.tenant == p.dom && r.obj == p.obj",
    )
    policy = "p, role:a, d1, /a, allow\ng, alice, role:b, d1\ng, role:b, role:a, d1\n"
    engine = Engine.from_source(source(policy, model))

    assert explain(engine, Question(("alice", "d1", "/a"))).role_path == ("alice", "role:b", "role:a")
