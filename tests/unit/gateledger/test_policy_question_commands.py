from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from policy_texts import SAMPLE, model_text

from gateledger.cli.policy import policy

POLICY = (SAMPLE / "policy.csv").read_text()


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings file of the place where the tests run."""
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(policy, arguments)


def test_who_can_names_subjects_roles_and_what_would_take_it_away() -> None:
    result = run("who-can", "admin", "/admin", "GET", "--format", "csv")

    assert result.exit_code == 0
    assert [
        ("dave", "dave → role:auditor", "36", "role:contractor"),
        ("erin", "erin → role:admin", "30", "role:contractor"),
        ("anyone with role:auditor", "role:auditor", "36", "role:contractor"),
        ("anyone with role:admin", "role:admin", "30", "role:contractor"),
    ] == [
        (row["who"], row["roles"], row["line"], row["unless the token brings"])
        for row in csv.DictReader(io.StringIO(result.stdout))
    ]


def test_who_can_is_an_object_for_programs() -> None:
    found = json.loads(run("who-can", "orders", "/orders/./health", "GET", "--format", "json").stdout)

    assert {"svc": "orders", "obj": "/orders/health", "act": "GET"} == found["request"]
    assert {
        "kind": "anyone",
        "name": "",
        "role_path": ["role:everyone"],
        "line": 7,
        "rule": "p, role:everyone, orders, /orders/health, GET, allow",
        "unless": [],
    } in found["who"]
    assert 64 == len(found["policy_version"])


def test_nobody_is_an_answer() -> None:
    result = run("who-can", "orders", "/nowhere", "DELETE")

    assert (0, "nobody\n") == (result.exit_code, result.stdout)


def test_what_can_shows_what_is_denied_within_a_right() -> None:
    found = json.loads(run("what-can", "bob", "--format", "json").stdout)

    (reading,) = (right for right in found["may"] if right["line"] == 17)
    assert {"svc": "orders", "obj": "/orders/*", "act": "GET"} == reading["where"]
    assert [20, 21] == [exception["line"] for exception in reading["except"]]
    assert ["bob", "orders", "/orders/x", "GET"] == reading["witness"]
    assert ["role:everyone", "role:authenticated"] == found["roles"]


def test_what_can_of_a_role_is_that_of_whoever_brings_it() -> None:
    result = run("what-can", "role:auditor", "--format", "csv")

    assert [("orders", "/orders/health", "GET"), ("*", "/*", "GET")] == [
        (row["svc"], row["obj"], row["act"]) for row in csv.DictReader(io.StringIO(result.stdout))
    ]


def test_a_name_that_the_policy_does_not_know_is_remarked() -> None:
    result = run("what-can", "bbo", "--role", "suport")

    assert result.exit_code == 0
    assert result.stderr.splitlines() == [
        f"{SAMPLE / 'policy.csv'} does not name bbo",
        f"{SAMPLE / 'policy.csv'} does not name role:suport",
    ]


def test_nothing_is_an_answer(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("p, alice, orders, /a, GET, allow\n")

    assert "nothing\n" == run("what-can", "bob", "--policy", "p.csv").stdout


def changed(*edits: tuple[str, str]) -> str:
    text = POLICY
    for before, after in edits:
        assert before in text
        text = text.replace(before, after)
    Path("new.csv").write_text(text)
    return "new.csv"


def test_diff_shows_a_request_for_each_change_with_the_rules_of_both_sides() -> None:
    Path("old.csv").write_text(POLICY)
    new = changed(("g, bob, role:contractor\n", ""), ("/orders/:id, DELETE", "/orders/*, DELETE"))

    result = run("diff", "old.csv", new)

    assert result.exit_code == 1
    assert result.stdout.splitlines()[:12] == [
        "bob orders /orders/x/y DELETE: deny → allow",
        "  old  no rule allows",
        "  new  new.csv:18: p, role:support, orders, /orders/*, DELETE, allow",
        "  who  bob, anyone with role:support",
        "bob admin /admin/status GET: deny → allow",
        "  old  old.csv:33: p, role:contractor, admin, /admin/*, *, deny",
        "  new  new.csv:29: p, role:staff, admin, /admin/status, GET, allow",
        "  who  bob",
        "bob admin /admin GET  with role:admin: deny → allow",
        "  old  old.csv:32: p, role:contractor, admin, /admin, *, deny",
        "  new  new.csv:30: p, role:admin, admin, /admin, *, allow",
        "  who  bob",
    ]
    assert result.stdout.splitlines()[-1] == "0 allow → deny, 6 deny → allow"


def test_a_policy_differs_in_nothing_from_itself_whatever_its_lines() -> None:
    lines = POLICY.splitlines(keepends=True)
    Path("new.csv").write_text("# one more line\n" + "".join(reversed(lines)))

    result = run("diff", str(SAMPLE), "new.csv")

    assert (0, "no decision changes\n") == (result.exit_code, result.stdout)


def test_diff_is_an_object_for_programs() -> None:
    new = changed(("g, carol, role:finance\n", ""))

    found = json.loads(run("diff", str(SAMPLE / "policy.csv"), new, "--format", "json").stdout)

    assert found["new"]["policy"] == "new.csv"
    assert {
        "request": ["carol", "billing", "/billing", "GET"],
        "roles": [],
        "old": {
            "effect": "allow",
            "line": 24,
            "rule": "p, role:finance, billing, /billing, *, allow",
        },
        "new": {"effect": "deny", "line": None, "rule": None},
        "subjects": ["carol"],
        "anyone": False,
        "by_role": [],
    } == found["changes"][0]


def test_diff_is_rows_for_spreadsheets() -> None:
    new = changed(("g, carol, role:finance\n", ""))

    result = run("diff", str(SAMPLE / "policy.csv"), new, "--format", "csv")

    (row, *_) = csv.DictReader(io.StringIO(result.stdout))
    assert ("carol billing /billing GET", "allow", "24", "deny", "", "carol") == (
        row["request"],
        row["old"],
        row["old_line"],
        row["new"],
        row["new_line"],
        row["subjects"],
    )


def test_folders_bring_their_own_models(tmp_path: Path) -> None:
    for name, act in (("one", "read"), ("two", "write")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "model.conf").write_text(model_text())
        (folder / "policy.csv").write_text(f"p, alice, data1, {act}, allow\n")

    result = run("diff", "one", "two")

    assert result.exit_code == 1
    assert "alice data1 read: allow → deny\n" in result.stdout
    assert "alice data1 write: deny → allow\n" in result.stdout


def test_a_model_of_another_kind_is_asked_in_its_own_order(tmp_path: Path) -> None:
    (tmp_path / "m.conf").write_text(model_text())
    (tmp_path / "p.csv").write_text("p, role:x, data1, read, allow\ng, alice, role:x\n")
    files = ("--model", "m.conf", "--policy", "p.csv", "--format", "json")

    who = json.loads(run("who-can", "data1", "read", *files).stdout)["who"]
    what = json.loads(run("what-can", "alice", *files).stdout)["may"]

    assert ["alice", "role:x"] == [one["name"] for one in who]
    assert [{"obj": "data1", "act": "read"}] == [one["where"] for one in what]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(
            ("who-can", "orders"),
            "1 values, this model's requests have 3 beside the subject",
            id="few values",
        ),
        pytest.param(
            ("who-can", "GET", "orders", "/a"), "'orders' is no path that a request can have", id="order"
        ),
        pytest.param(
            ("who-can", "orders", "/a", "get"), "'get' is no method that a request can have", id="method"
        ),
        pytest.param(("who-can", "orders", "/a;b", "GET"), "a path parameter (semicolon)", id="path"),
        pytest.param(("what-can", "*"), "the subject '*' is a name that the policy reserves", id="subject"),
        pytest.param(
            ("what-can", "anonymous", "--role", "x"), "has no token that could bring roles", id="no token"
        ),
        pytest.param(
            ("what-can", "alice", "--policy", "none.csv"), "none.csv: error[unreadable]", id="no policy"
        ),
        pytest.param(
            ("what-can", "alice", "--policy", "bad.csv"), "bad.csv:1: error[arity]", id="a bad policy"
        ),
        pytest.param(("diff", "bad.csv", "bad.csv"), "bad.csv:1: error[arity]", id="a bad policy to compare"),
        pytest.param(
            ("what-can", "alice", "--model", "regex.conf", "--policy", "regex.csv"),
            "regex.csv: cannot be answered exactly: the matcher's regexMatch(r.obj, p.obj)",
            id="a free expression",
        ),
        pytest.param(
            ("who-can", "/a", "GET", "--model", "regex.conf", "--policy", "regex.csv"),
            "cannot be answered exactly",
            id="a free expression, who",
        ),
        pytest.param(
            ("diff", "regex.csv", "regex.csv", "--model", "regex.conf"),
            "cannot be answered exactly",
            id="a free expression, diff",
        ),
    ],
)
def test_unusable_input_is_exit_code_2(arguments: tuple[str, ...], message: str) -> None:
    Path("bad.csv").write_text("p, alice\n")
    Path("regex.conf").write_text(
        model_text(matcher="r.sub == p.sub && regexMatch(r.obj, p.obj) && r.act == p.act")
    )
    Path("regex.csv").write_text("p, alice, ^/a+$, GET, allow\n")

    result = run(*arguments)

    assert result.exit_code == 2
    assert message in result.stderr
    assert not result.stdout


def test_the_sample_can_be_compared_with_a_copy_of_its_folder(tmp_path: Path) -> None:
    shutil.copytree(SAMPLE, tmp_path / "copy")

    assert run("diff", str(SAMPLE), "copy").exit_code == 0


def test_a_variable_that_stands_twice_is_answered_exactly() -> None:
    Path("model.conf").write_text(
        model_text(matcher="r.sub == p.sub && keyMatch4(r.obj, p.obj) && r.act == p.act")
    )
    Path("old.csv").write_text("p, alice, /parent/{id}/child/{id}, GET, allow\n")
    Path("new.csv").write_text("p, alice, /parent/{id}/child/{other}, GET, allow\n")
    options = ("--model", "model.conf")

    same = run("who-can", "/parent/1/child/1", "GET", *options, "--policy", "old.csv")
    other = run("who-can", "/parent/1/child/2", "GET", *options, "--policy", "old.csv")
    rights = run("what-can", "alice", *options, "--policy", "old.csv", "--format", "json")
    changes = run("diff", "old.csv", "new.csv", *options, "--format", "json")

    assert "alice" in same.stdout
    assert "alice" not in other.stdout
    assert json.loads(rights.stdout)["may"][0]["witness"] == ["alice", "/parent/1/child/1", "GET"]
    (change,) = json.loads(changes.stdout)["changes"]
    assert (change["old"]["effect"], change["new"]["effect"]) == ("deny", "allow")
    _, parent, one, child, another = change["request"][1].split("/")
    assert (parent, child, one == another) == ("parent", "child", False)
