from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from policy_texts import model_text

from gateledger.cli.policy import policy

POLICY = """\
p, role:customer, orders, /orders/:id, GET, allow
p, role:support, orders, /orders/*, *, allow
p, role:support, orders, /orders/:id/payment, *, deny
g, alice, role:customer
g, bob, role:support
"""
CASES = """\
tests:
  - name: alice reads
    request: [alice, orders, /orders/1, GET]
    expect: allow
  - name: bob sees no payment
    request: [bob, orders, /orders/1/payment, GET]
    expect: deny
    rule: "p,role:support, orders,/orders/:id/payment, *, deny"
"""


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("policy.csv").write_text(POLICY)
    Path("policy_test.yaml").write_text(CASES)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(policy, ["test", "--policy", "policy.csv", *arguments])


def test_tests_that_hold_are_counted_and_rules_without_one_named() -> None:
    result = run()

    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "policy_test.yaml: 2 of 2 tests hold",
        "policy.csv: 2 of 3 rules decided a test",
        "  not tested  policy.csv:2: p, role:support, orders, /orders/*, *, allow",
    ]


def test_coverage_may_be_required() -> None:
    assert run("--require-coverage").exit_code == 1


def test_the_shipped_tests_hold_and_cover_every_rule() -> None:
    result = CliRunner().invoke(policy, ["test", "--require-coverage"])

    assert result.exit_code == 0
    assert "22 of 22 rules decided a test" in result.stdout


def test_a_failing_test_says_what_was_expected_and_why_it_came_out_so() -> None:
    Path("t.yaml").write_text(
        "tests:\n- {name: x, request: [alice, orders, /orders/1/payment, GET], expect: allow}\n"
    )

    result = run("t.yaml")

    assert result.exit_code == 1
    assert result.stdout.splitlines()[:6] == [
        "t.yaml:2: x: expected allow, got deny",
        "  asked  alice orders /orders/1/payment GET",
        "  deny  no_matching_rule: no rule allows",
        "    near   policy.csv:1: p, role:customer, orders, /orders/:id, GET, allow",
        "             not keyMatch2(r.obj, p.obj)",
        "    near   policy.csv:2: p, role:support, orders, /orders/*, *, allow",
    ]


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        pytest.param("p, role:support, orders, /orders/*, *, allow", "", id="the right one"),
        pytest.param("p, x", "expected allow by another rule (p, x), got it by line 2", id="another"),
        pytest.param("", "expected allow by no rule, got it by line 2", id="none"),
    ],
)
def test_the_rule_that_decides_is_held_to_the_expected_one(rule: str, problem: str) -> None:
    Path("t.yaml").write_text(
        f'tests:\n- {{request: [zoe, orders, /orders/1, PUT], roles: [support], expect: allow, rule: "{rule}"}}\n'
    )

    result = run("t.yaml", "--format", "json")

    assert [problem] * bool(problem) == [
        failure["problem"] for failure in json.loads(result.stdout)["failures"]
    ]
    assert result.exit_code == (1 if problem else 0)


def test_a_closed_file_denies_every_combination_that_it_does_not_list() -> None:
    Path("t.yaml").write_text(CASES + "unlisted: deny\n")

    result = run("t.yaml")

    # Of alice and bob, two paths, one method: bob may also read the order itself.
    assert result.exit_code == 1
    assert "t.yaml: unlisted: expected deny, got allow\n  asked  bob orders /orders/1 GET\n" in result.stdout
    assert "t.yaml: 1 of 2 unlisted requests are not denied" in result.stdout


def test_a_closed_file_that_combines_too_much_is_unusable() -> None:
    cases = "".join(f"- {{request: [u{n}, s{n}, /p{n}, GET], expect: deny}}\n" for n in range(101))
    Path("t.yaml").write_text(f"unlisted: deny\ntests:\n{cases}")

    result = run("t.yaml")

    assert result.exit_code == 2
    assert "would ask 1,030,301 requests, 1,000,000 is the most" in result.stderr


def test_the_result_is_an_object_for_programs() -> None:
    found = json.loads(run("--format", "json").stdout)

    assert {
        "file": "policy_test.yaml",
        "policy": "policy.csv",
        "tests": 2,
        "failed": 0,
        "unlisted": None,
        "unlisted_failed": None,
        "failures": [],
        "coverage": {
            "rules": 3,
            "decided": 2,
            "undecided": [{"line": 2, "rule": "p, role:support, orders, /orders/*, *, allow"}],
        },
    } == {key: value for key, value in found.items() if key != "policy_version"}


def test_the_result_is_rows_for_spreadsheets() -> None:
    rows = list(csv.DictReader(io.StringIO(run("--format", "csv").stdout)))

    assert [("alice reads", "allow", "1", ""), ("bob sees no payment", "deny", "3", "")] == [
        (row["name"], row["got"], row["rule_line"], row["problem"]) for row in rows
    ]


def test_a_model_of_another_kind_is_tested_in_its_own_order() -> None:
    Path("m.conf").write_text(model_text())
    Path("p.csv").write_text("p, alice, data1, read, allow\n")
    Path("t.yaml").write_text("tests:\n- {request: [alice, data1, read], expect: allow}\n")

    assert (
        CliRunner().invoke(policy, ["test", "t.yaml", "--model", "m.conf", "--policy", "p.csv"]).exit_code
        == 0
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(("none.yaml",), "none.yaml: cannot be read: No such file or directory", id="no file"),
        pytest.param(
            ("bad.yaml",), "bad.yaml:2: error[arity]: 1 value, the model's requests", id="a bad file"
        ),
        pytest.param(("--model", "none"), "none: error[unreadable]", id="no model"),
    ],
)
def test_unusable_input_is_exit_code_2(arguments: tuple[str, ...], message: str) -> None:
    Path("bad.yaml").write_text("tests:\n- {request: [a], expect: deny}\n")

    result = run(*arguments)

    assert result.exit_code == 2
    assert message in result.stderr
    assert not result.stdout
