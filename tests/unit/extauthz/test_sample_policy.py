"""The shipped policy answers what policies/policy_test.yaml says, and no rule of it is idle."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from policy_texts import SAMPLE

from extauthz.engine import Engine
from extauthz.explanation import Explanation, Question, explain

ATTRIBUTES = ("subject", "service", "resource", "action")
CASES: list[dict[str, Any]] = yaml.safe_load((SAMPLE / "policy_test.yaml").read_text())["tests"]


def answer(engine: Engine, case: dict[str, Any]) -> Explanation:
    return explain(engine, Question(tuple(case["request"]), tuple(case.get("roles", ())), ATTRIBUTES))


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in CASES])
def test_the_sample_policy(engine: Engine, case: dict[str, Any]) -> None:
    explanation = answer(engine, case)

    assert case["expect"] == explanation.effect.value
    assert case.get("rule", "") == explanation.rule


def test_every_rule_is_decided_by_some_case(engine: Engine) -> None:
    decided = {answer(engine, case).line for case in CASES}

    assert [] == [rule.row.text for rule in engine.rules if rule.row.line not in decided]


def test_the_sample_policy_has_no_finding(engine: Engine) -> None:
    assert engine.findings == ()
