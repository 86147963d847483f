from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result
from policy_texts import SAMPLE, model_text

from gateledger.cli.policy import policy

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings file of the place where the tests run."""
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(policy, arguments)


def test_the_shipped_policy_is_in_order() -> None:
    result = run("lint")

    assert result.exit_code == 0
    assert not result.stdout


def test_findings_stand_one_a_line_with_their_place(tmp_path: Path) -> None:
    (tmp_path / "policy.csv").write_text("# note\np, alice, orders\ng, alice, staff\n")

    result = run("lint", "--policy", "policy.csv", "--model", str(SAMPLE / "model.conf"))

    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "policy.csv:2: error[arity]: 2 fields, the model's p wants 5 (sub, svc, obj, act, eft)",
        "policy.csv:3: warning[role]: 'staff' is not written role:NAME; a subject of that name has its rights",
    ]
    assert "1 error" in result.stderr


def test_warnings_alone_are_fine(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("p, alice, orders, /x/*, GET, deny\n")

    result = run("lint", "--policy", "p.csv", "--format", "json")

    assert result.exit_code == 0
    assert [(found["line"], found["severity"], found["code"]) for found in json.loads(result.stdout)] == [
        (1, "warning", "folder")
    ]


def test_what_pycasbin_would_have_made_of_a_file_is_told_when_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(
        'P, a, s, /a, GET, allow\np, "a", s, /a, GET, allow\np, a, s, /a, GET, allow\n'
    )

    without, with_it = run("lint", "--policy", "p.csv"), run("lint", "--policy", "p.csv", "--compat")

    assert (1, 1) == (without.exit_code, with_it.exit_code)
    assert [*without.stdout.splitlines(), *with_it.stdout.splitlines()[-2:]] == with_it.stdout.splitlines()
    assert [
        "p.csv:1: warning[compat]: pycasbin drops this row without a word: 'P' is nothing to it",
        "p.csv:2: warning[compat]: pycasbin reads 'p', '\"a\"', 's', '/a', 'GET', 'allow'",
    ] == with_it.stdout.splitlines()[-2:]


def test_a_file_that_is_not_there_is_unusable() -> None:
    result = run("lint", "--policy", "nowhere.csv")

    assert result.exit_code == 2
    assert "nowhere.csv: error[unreadable]: cannot be read: No such file or directory" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "shown"),
    [
        pytest.param(("alice", "orders", "/orders/1", "GET"), 0, "allow  rule_allow", id="allowed"),
        pytest.param(("alice", "orders", "/orders/1", "PUT"), 0, "deny  no_matching_rule", id="denied"),
        pytest.param(
            ("alice", "orders", "/orders/1", "PUT", "--expect", "allow"),
            1,
            "deny  no_matching_rule",
            id="unexpected",
        ),
        pytest.param(
            ("alice", "orders", "/orders/1", "PUT", "--expect", "deny"),
            0,
            "deny  no_matching_rule",
            id="expected",
        ),
        pytest.param(
            ("zoe", "orders", "/orders", "GET", "--role", "support", "--role", "staff", "--expect", "allow"),
            0,
            "roles  zoe → role:support",
            id="with roles",
        ),
    ],
)
def test_explain_answers(arguments: tuple[str, ...], code: int, shown: str) -> None:
    result = run("explain", *arguments)

    assert code == result.exit_code
    assert shown in result.stdout


def test_an_explanation_is_an_object_for_programs() -> None:
    found = json.loads(run("explain", "bob", "orders", "/orders/1/payment", "GET", "--format", "json").stdout)

    assert (found["effect"], found["reason_code"], found["line"]) == ("deny", "rule_deny", 20)
    assert found["rule"] == "p, role:support, orders, /orders/:id/payment, *, deny"
    assert found["role_path"] == ["bob", "role:support"]


def test_all_matching_rules_are_shown_with_what_becomes_of_them() -> None:
    result = run("explain", "carol", "orders", "/orders/1/payment", "GET", "--role", "support", "--all")

    assert [
        "  effect some rule has to allow, and none may deny",
        f"  match  {SAMPLE / 'policy.csv'}:17: p, role:support, orders, /orders/*, GET, allow  (carol → role:support)",
        f"  match  {SAMPLE / 'policy.csv'}:20: p, role:support, orders, /orders/:id/payment, *, deny  (carol → role:support)",
        f"  match  {SAMPLE / 'policy.csv'}:26: p, role:finance, orders, /orders/:id/payment, GET, allow  (carol → role:finance)",
    ] == result.stdout.splitlines()[3:]


def test_matching_rules_are_told_to_programs_when_they_are_asked_for() -> None:
    question = ("explain", "carol", "admin", "/admin/status", "GET", "--format", "json")

    assert None is json.loads(run(*question).stdout)["matching"]
    assert [
        {
            "line": 29,
            "rule": "p, role:staff, admin, /admin/status, GET, allow",
            "role_path": ["carol", "role:finance", "role:staff"],
        }
    ] == json.loads(run(*question, "--all").stdout)["matching"]


def test_an_explanation_is_a_row_for_spreadsheets() -> None:
    (row,) = csv.DictReader(
        io.StringIO(run("explain", "bob", "admin", "/admin", "GET", "--format", "csv").stdout)
    )

    assert (row["effect"], row["line"], row["role_path"]) == ("deny", "32", "bob → role:contractor")


def test_a_model_of_another_kind_is_asked_in_its_own_order(tmp_path: Path) -> None:
    (tmp_path / "m.conf").write_text(model_text())
    (tmp_path / "p.csv").write_text("p, alice, data1, read, allow\n")
    files = ("--model", "m.conf", "--policy", "p.csv")

    result = run("explain", "alice", "data1", "read", *files, "--expect", "allow")

    assert result.exit_code == 0
    assert "rule   p.csv:1: p, alice, data1, read, allow" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(
            ("alice",), "1 values, this model's requests have 4: SUB SVC OBJ ACT", id="too few values"
        ),
        pytest.param(
            ("a", "b", "/c", "GET", "--policy", "bad.csv"), "bad.csv:1: error[arity]", id="a bad policy"
        ),
        pytest.param(("a", "b", "/c", "GET", "--model", "none"), "none: error[unreadable]", id="no model"),
    ],
)
def test_unusable_input_is_exit_code_2(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    (tmp_path / "bad.csv").write_text("p, alice\n")

    result = run("explain", *arguments)

    assert result.exit_code == 2
    assert message in result.stderr
    assert not result.stdout


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        pytest.param("", True, id="no issuer"),
        pytest.param("issuers: [{name: corp, roles: [ops]}]", False, id="an issuer that asserts it"),
        pytest.param(
            "issuers: [{name: corp, roles: [other]}]", True, id="an issuer that asserts another one"
        ),
        pytest.param('issuers: [{name: corp, roles: ["*"]}]', False, id="an issuer that asserts any"),
        pytest.param(
            f"api_keys: {{keys: [{{name: x, sha256: '{64 * '0'}', roles: [ops]}}]}}", False, id="a key"
        ),
    ],
)
def test_a_role_without_members_is_told_where_no_credential_can_bring_it(
    tmp_path: Path, settings: str, *, told: bool
) -> None:
    (tmp_path / "p.csv").write_text("p, role:ops, orders, /x, GET, allow\n")
    (tmp_path / "gateledger.yaml").write_text(f"extauthz: {{{settings}}}\n")

    result = run("lint", "--policy", "p.csv", "--config", "gateledger.yaml")

    assert result.exit_code == 0
    assert ("warning[memberless]" in result.stdout) is told
