from __future__ import annotations

import pytest

from extauthz.analysis.cases import Case, suite_of
from extauthz.engine import PolicyError

REQUEST = ("sub", "svc", "obj", "act")


def findings(text: str | bytes) -> list[str]:
    content = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(PolicyError) as raised:
        suite_of(content, "t.yaml", REQUEST)
    return [str(finding) for finding in raised.value.findings]


def test_a_case_holds_what_is_written() -> None:
    suite = suite_of(
        b"""
tests:
  - name: support reads
    request: [bob, orders, /orders/1, GET]
    roles: [role:x, y]
    expect: allow
    rule: p, role:support, orders, /orders/*, GET, allow
  - {request: [on, 1, /a, GET], expect: deny, rule: ""}
unlisted: deny
""",
        "t.yaml",
        REQUEST,
    )

    assert suite.closed
    assert suite.cases == (
        Case(
            "support reads",
            3,
            ("bob", "orders", "/orders/1", "GET"),
            "allow",
            ("role:x", "y"),
            "p, role:support, orders, /orders/*, GET, allow",
        ),
        Case("on 1 /a GET", 8, ("on", "1", "/a", "GET"), "deny", (), ""),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", "t.yaml: error[empty]: no tests; the file needs a list `tests:`", id="nothing"),
        pytest.param(
            "cases: []\n",
            "t.yaml:1: error[key]: unknown key 'cases'; the file has tests, unlisted",
            id="an unknown key of the file",
        ),
        pytest.param(
            "tests:\n- request: [a, b, /c, GET]\n  expects: allow\n",
            "t.yaml:3: error[key]: unknown key 'expects'; a test has name, request, expect, rule, roles",
            id="an unknown key of a test",
        ),
        pytest.param(
            "tests:\n- request: [a, /c, GET]\n  expect: allow\n",
            "t.yaml:2: error[arity]: 3 values, the model's requests have 4 (sub, svc, obj, act)",
            id="too few values",
        ),
        pytest.param(
            "tests:\n- request: [a, b, /c, GET]\n  expect: Allow\n",
            "t.yaml:3: error[expect]: 'Allow' is not allow or deny",
            id="a misspelt effect",
        ),
        pytest.param(
            "unlisted: allow\ntests:\n- request: [a, b, /c, GET]\n  expect: allow\n",
            "t.yaml:1: error[unlisted]: 'allow' is not deny",
            id="unlisted can only deny",
        ),
        pytest.param(
            "tests:\n- request: [a, b, /c, GET]\n",
            "t.yaml:2: error[key]: a test without `expect`",
            id="no answer",
        ),
        pytest.param(
            "tests:\n- request: [a, b, /c, GET]\n  expect: deny\n  expect: allow\n",
            "t.yaml:4: error[duplicate]: expect stands twice, first in line 3",
            id="a key twice",
        ),
        pytest.param(
            "tests:\n- request: [a, b, [c], GET]\n  expect: deny\n",
            "t.yaml:2: error[request]: request must hold texts; here is a list",
            id="a list in a request",
        ),
        pytest.param(
            "tests:\n- request: [a, b, ~, GET]\n  expect: deny\n",
            "t.yaml:2: error[request]: request must hold texts; here is nothing",
            id="null in a request",
        ),
        pytest.param(
            "tests:\n- request: a b /c GET\n  expect: deny\n",
            "t.yaml:2: error[request]: request must be a list of texts, like [a, b]",
            id="a text for a list",
        ),
        pytest.param(
            "tests:\n- just a text\n",
            "t.yaml:2: error[yaml]: a test must be a mapping with the keys name, request, expect, rule, roles",
            id="a text for a test",
        ),
        pytest.param(
            "tests: []\n", "t.yaml:1: error[tests]: `tests` must be a list with at least one test", id="none"
        ),
        pytest.param(
            "tests:\n- {name: x, request: [a, b, /c, GET], expect: deny}\n"
            "- {name: x, request: [b, b, /c, GET], expect: deny}\n",
            "t.yaml:3: error[duplicate]: a test named 'x' stands in line 2",
            id="a name twice",
        ),
        pytest.param(
            b"tests:\n- \xff\n",
            "t.yaml:2: error[encoding]: byte 0xff is not UTF-8; save as UTF-8",
            id="bytes",
        ),
    ],
)
def test_what_says_nothing_is_refused(text: str | bytes, expected: str) -> None:
    assert expected in findings(text)


@pytest.mark.parametrize(
    "text", ["tests: [\n", "tests:\n\t- a\n", "a: b: c\n", "&a [*a", "--- a\n--- b\n", "!!python/x a: 1"]
)
def test_broken_yaml_names_its_line(text: str) -> None:
    assert findings(text)[0].startswith("t.yaml:")


def test_all_findings_come_at_once_in_their_order() -> None:
    found = findings(
        "tests:\n- request: [a]\n  expect: no\n- x: 1\n  request: [a, b, /c, GET]\n  expect: deny\n"
    )

    assert [line.split(" ")[1] for line in found] == ["error[arity]:", "error[expect]:", "error[key]:"]
